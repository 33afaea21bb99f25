"""The research tables, where a checkout has them beside it; tests that read them are skipped elsewhere."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

_SHARED = Path(os.environ.get("TOCSIN_SHARED", Path(__file__).parents[2] / "shared"))
FOLDER = _SHARED / "reference"

needs_reference = pytest.mark.skipif(not FOLDER.is_dir(), reason="the research tables are not beside this checkout")


@cache
def table(name: str) -> Any:
    """A research table by file name."""
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
