"""The command line: `tocsin`."""

from __future__ import annotations

from tocsin.cli.main import main

__all__ = ["main"]
