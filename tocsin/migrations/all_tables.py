"""Finding every table: each room keeps its tables in files called `tables.py`, on the one `metadata`."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from sqlalchemy import MetaData, Table

from incidents.record.database import metadata

ROOMS = ("incidents", "playbooks", "notifier", "projections", "tocsin")


@cache
def all_tables() -> MetaData:
    """The `metadata`, once every `tables.py` of every room has been imported."""
    for room in ROOMS:
        package = importlib.import_module(room)
        for module in pkgutil.walk_packages(package.__path__, f"{room}."):
            if module.name.endswith(".tables"):
                importlib.import_module(module.name)
    return metadata


def tables_of(room: str) -> frozenset[str]:
    """The names of one room's tables."""
    all_tables()
    package = importlib.import_module(room)
    modules = (module.name for module in pkgutil.walk_packages(package.__path__, f"{room}."))
    return frozenset(
        value.name
        for name in modules
        if name.endswith(".tables")
        for value in vars(importlib.import_module(name)).values()
        if isinstance(value, Table)
    )
