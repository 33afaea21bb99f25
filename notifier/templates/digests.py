"""Digests of a template set's words, language by language, so that adding a language leaves the others as approved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from incidents.errors import InvalidInput
from notifier.templates.manifest import Manifest

EARLIER = "earlier.yaml"
"""Beside a manifest: what the digests of earlier versions stood for."""


@dataclass(frozen=True, slots=True)
class Digests:
    """SHA-256 in hex. `words` by language: all files that decide what is said in it, and the rules of the manifest.
    `first`: the same without the files that a set may do without. `earlier`: digests over all files of a set as earlier
    versions made them, with what `first` was then."""

    words: Mapping[str, str]
    first: Mapping[str, str] = field(default_factory=dict)
    earlier: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def read_digests(folder: Path, manifest: Manifest, files: Sequence[str]) -> Digests:
    """Of the set in a folder; `files` are those that every language has."""
    shared = sorted(folder.glob("*.j2"))
    words, first = dict[str, str](), dict[str, str]()
    for language in manifest.languages:
        own = folder / language
        words[language] = _digest(folder, manifest, language, [*shared, *sorted(own.rglob("*.j2"))])
        first[language] = _digest(folder, manifest, language, [*shared, *sorted(own / name for name in files)])
    return Digests(words, first, _earlier(folder / EARLIER))


def _digest(folder: Path, manifest: Manifest, language: str, paths: Iterable[Path]) -> str:
    digest = hashlib.sha256(_rules(manifest, language))
    for path in paths:
        content = path.read_bytes()
        digest.update(f"\x00{path.relative_to(folder).as_posix()}\x00{len(content)}\x00".encode() + content)
    return digest.hexdigest()


def _rules(manifest: Manifest, language: str) -> bytes:
    """What the manifest says that decides the words of one language, and whom they may be sent to."""
    rules: dict[str, Any] = {
        "category": manifest.category,
        "unsubscribable": manifest.unsubscribable,
        "date_format": manifest.date_formats.get(language),
        "fallbacks": manifest.fallbacks.get(language, ()),
        "values": {name: rule.model_dump(exclude={"about"}) for name, rule in manifest.values.items()},
    }
    return json.dumps(rules, sort_keys=True, separators=(",", ":")).encode()


def _earlier(path: Path) -> dict[str, dict[str, str]]:
    if not path.is_file():
        return {}
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        return {str(files): {str(k): str(v) for k, v in words.items()} for files, words in found.items()}
    except (yaml.YAMLError, AttributeError) as error:
        raise InvalidInput(
            f"{path.parent.name}/{EARLIER} is not right: {type(error).__name__}.", field="template"
        ) from error
