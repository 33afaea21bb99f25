"""The template sets that are there, read from their folders once at the start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment
from pydantic import ValidationError

from incidents.errors import InvalidInput, NotFound
from notifier.templates import template as words
from notifier.templates.digests import read_digests
from notifier.templates.manifest import Manifest
from notifier.templates.template import Template

_FILES = ("sms.txt.j2", "subject.txt.j2", "email.txt.j2", "email.html.j2")


class Templates:
    """Template sets by name. A folder of one's own may stand in for the built-in one."""

    def __init__(self, root: Path | None = None) -> None:
        self._sets = _built_in() if root is None else _sets(root)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._sets)

    def get(self, name: str) -> Template:
        """The set of that name. NotFound names those there are."""
        try:
            return self._sets[name]
        except KeyError:
            raise NotFound(
                f"There is no template of that name; there are: {', '.join(self.names)}.", field="template"
            ) from None


@cache
def _built_in() -> Mapping[str, Template]:
    """Read and compiled once in a process: they do not change while it runs."""
    return _sets(Path(__file__).parent)


def _sets(root: Path) -> Mapping[str, Template]:
    environment = _environment(root)
    return {path.parent.name: _read(path, environment) for path in sorted(root.glob("*/manifest.yaml"))}


def _read(path: Path, environment: SandboxedEnvironment) -> Template:
    folder = path.parent
    try:
        manifest = Manifest.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError) as error:
        raise InvalidInput(f"The manifest of template {folder.name} is not right: {error}", field="template") from error
    if manifest.template != folder.name:
        raise InvalidInput(f"The manifest in {folder.name} names another template.", field="template")
    for language in manifest.languages:
        for file in _FILES:
            if not (folder / language / file).is_file():
                raise InvalidInput(f"Template {folder.name} lacks {language}/{file}.", field="template")
    extra = {f"{language}/{file}" for language in manifest.languages for file in (words.PUBLIC_FILE, words.VOICE_FILE)}
    present = frozenset(name for name in extra if (folder / name).is_file())
    return Template(manifest, environment, read_digests(folder, manifest, _FILES), present)


def _environment(root: Path) -> SandboxedEnvironment:
    environment = SandboxedEnvironment(
        loader=FileSystemLoader(root),
        undefined=StrictUndefined,
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters["sentence"] = _sentence
    environment.filters["listed"] = _listed
    environment.filters["clauses"] = _clauses
    environment.filters["paragraphs"] = _paragraphs
    environment.filters["spelt"] = words.spelt
    return environment


@pass_context
def _sentence(context: Context, text: str) -> str:
    return words.sentence(context["language"], text)


@pass_context
def _listed(context: Context, entries: Sequence[str]) -> str:
    return words.listed(context["language"], entries)


@pass_context
def _clauses(context: Context, entries: Sequence[str]) -> str:
    return words.clauses(context["language"], entries)


def _paragraphs(text: Any) -> list[str]:
    return [part.strip() for part in str(text).split("\n") if part.strip()]
