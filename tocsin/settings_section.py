"""What every table of the settings file has in common."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class Section(BaseModel):
    """A table of the TOML file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _read_secret_files(cls, data: Any) -> Any:
        return with_secrets(cls, data)


def with_secrets(model: type[BaseModel], data: Any) -> Any:
    """`x_file = "path"` fills the secret `x`; naming both is a mistake."""
    if not isinstance(data, dict):
        return data
    filled = dict(data)
    for name in list(filled):
        target = name.removesuffix("_file")
        if name == target or target not in model.model_fields or filled[name] in (None, ""):
            continue
        if filled.get(target):
            raise ValueError(f"give {target} or {name}, not both")
        try:
            filled[target] = Path(str(filled[name])).read_text("utf-8").strip()
        except OSError as error:
            raise ValueError(f"{name}: {error.strerror or error}") from error
    return filled


def is_loopback(host: str | None) -> bool:
    """Whether a host name or an address is this machine itself, and traffic to it never leaves it."""
    if host is None:
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
