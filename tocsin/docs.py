"""Writes the pages under `docs/` that are made from code and data (`make docs`); a test holds them current."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from tocsin.settings import Settings

SETTINGS_HEAD = """# Settings

Made from the code by `make docs`. How settings are read: [operate.md](operate.md).

| setting | variable | default | meaning |
| --- | --- | --- | --- |
"""


def settings_page() -> str:
    """Every setting with its variable, default and meaning."""
    rows = [
        f"| `{name}` | `{_variable(name)}` | {_shown(field)} | {_cell(field.description or '')} |"
        for name, field in _fields(Settings)
    ]
    return SETTINGS_HEAD + "\n".join(rows) + "\n"


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _fields(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def _variable(name: str) -> str:
    return f"TOCSIN_{name.upper().replace('.', '__')}"


def _shown(field: FieldInfo) -> str:
    value: Any = field.default
    if isinstance(value, SecretStr) or field.default_factory is not None:
        return "none"
    return f"`{value}`" if value not in (None, "") else "none"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def pages() -> dict[str, str]:
    """File name under `docs/` to content."""
    from incidents.facts.schema import facts_page
    from playbooks.law.law import load_law
    from playbooks.law.pages import pages as law_pages
    from tocsin.relay.schemas import files
    from tocsin.services import registry

    return {
        "settings.md": settings_page(),
        "facts.md": facts_page(),
        **law_pages(load_law()),
        **{f"events/{name}": text for name, text in files(registry()).items()},
    }


def refuse_broken_schemas(folder: Path) -> None:
    """SystemExit when an event's class changed in a way that its published schema does not allow."""
    from tocsin.relay.schemas import broken
    from tocsin.services import registry

    if reasons := broken(registry(), folder):
        listed = "\n".join(f"  {reason}" for reason in reasons)
        raise SystemExit(
            "These changes need a new version of the event, with an upcaster "
            f"(an event that was never released: delete its schema):\n{listed}"
        )


def seal_packs() -> None:
    """Check every condition of our packs, then write the digest that lets a start skip those checks."""
    from playbooks.law.law import SEAL, built_in_texts, digest_of, read_packs

    texts = list(built_in_texts())
    read_packs(texts)
    seal = Path(__file__).parents[1] / "playbooks" / "law" / "packs" / SEAL
    seal.write_text(digest_of(texts) + "\n", "utf-8")


def main() -> None:
    """Write all pages into the `docs` folder of the present directory."""
    refuse_broken_schemas(Path("docs") / "events")
    for name, text in pages().items():
        path = Path("docs") / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    seal_packs()


if __name__ == "__main__":
    main()
