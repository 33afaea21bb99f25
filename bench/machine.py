"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import sqlite3
from importlib.metadata import version
from pathlib import Path


def machine(folder: Path) -> dict[str, str]:
    """The machine and the settings that matter, as plain facts."""
    return {
        "cores": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.1f}",
        "processor": platform.processor() or platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "sqlite": sqlite3.sqlite_version,
        "eventsourcing": version("eventsourcing"),
        "pydantic": version("pydantic"),
        "sqlalchemy": version("sqlalchemy"),
        **_sqlite_settings(folder),
    }


def _sqlite_settings(folder: Path) -> dict[str, str]:
    # Both sides use these: neither the library nor we change SQLite's default for `synchronous`.
    connection = sqlite3.connect(folder / "settings.sqlite")
    try:
        (journal,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
    finally:
        connection.close()
    names = {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}
    return {"journal_mode": journal, "synchronous": names[synchronous]}
