"""Reading the deployment files, and what they may refer to."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import typer
import typer.main
import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel
from pydantic_settings import BaseSettings

from tocsin.cli.main import app
from tocsin.settings import CONFIG_VARIABLE, Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
_WRONG_USE: type[Exception] = typer.BadParameter.__mro__[1]
"""What `typer` raises for any wrong use of a command."""
SCHEMAS = Path(__file__).parent / "schemas"


def documents(path: Path) -> list[dict[str, Any]]:
    """The documents of a YAML file."""
    return [document for document in yaml.safe_load_all(path.read_text("utf-8")) if document]


@cache
def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SCHEMAS / f"{name}.json").read_text("utf-8"))
    Draft202012Validator.check_schema(found)
    return found


def faults(document: Any, against: dict[str, Any]) -> list[str]:
    """What does not fit a schema, and where."""
    errors = Draft202012Validator(against).iter_errors(document)
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in errors]


def unknown_variables(environment: dict[str, Any]) -> list[str]:
    """`TOCSIN_*` variables that no setting reads."""
    return [name for name in environment if name.startswith("TOCSIN_") and not _is_setting(name)]


def _is_setting(variable: str) -> bool:
    if variable == CONFIG_VARIABLE:
        return True
    model: type[BaseModel] | type[BaseSettings] | None = Settings
    for part in variable.removeprefix("TOCSIN_").lower().split("__"):
        if model is None or part not in model.model_fields:
            return False
        annotation = model.model_fields[part].annotation
        model = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
    return True


def settings_of(text: str) -> dict[str, Any]:
    """The keys of a settings file, checked to exist. Values are checked where the files they name are at hand."""
    read = tomllib.loads(text)
    unknown = unknown_variables({f"TOCSIN_{name.upper()}": None for name in _paths(read)})
    assert not unknown, unknown
    return read


def _paths(table: dict[str, Any], before: str = "") -> Iterator[str]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _paths(value, f"{before}{name}__")
        else:
            yield f"{before}{name}"


def command_fault(arguments: list[str]) -> str | None:
    """Why `tocsin` would not take these arguments; None when it would."""
    command: Any = typer.main.get_command(app)
    name, rest = "tocsin", list(arguments)
    while rest and hasattr(command, "commands"):
        if rest[0] not in command.commands:
            return f"{name} has no command {rest[0]!r}"
        command, name, rest = command.commands[rest[0]], f"{name} {rest[0]}", rest[1:]
    try:
        command.make_context(name, rest)
    except _WRONG_USE as error:
        return str(error)
    return None


def variables_in(text: str) -> set[str]:
    """`TOCSIN_*` words of a text, such as a page of the docs."""
    return set(re.findall(r"\bTOCSIN_[A-Z0-9_]+\b", text))
