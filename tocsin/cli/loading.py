"""What commands need of the program, loaded when one of them needs it.

The settings know of every channel and the database of every table, so either brings in most of the program. A command
that needs neither, and `--help`, should not wait for them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from incidents.facts.facts import Facts
    from tocsin.settings import Settings


def load_settings() -> Settings:
    """The settings of this machine; InvalidInput names what is wrong with them."""
    from tocsin.settings import load_settings as load

    return load()


def open_engine(url: str) -> Engine:
    """The database."""
    from incidents.record.database import open_engine as open_it

    return open_it(url)


def read_document(path: Path) -> dict[str, Any]:
    """A JSON, YAML or TOML file; InvalidInput says what is wrong with it."""
    from incidents.facts.files import read_document as read

    return read(path)


def read_facts(path: Path) -> Facts:
    """Facts in such a file."""
    from incidents.facts.files import read_facts as read

    return read(path)
