"""What may be said of an error in a log."""

from __future__ import annotations

import traceback
from pathlib import PurePath


def place_of(error: BaseException) -> dict[str, str]:
    """What broke and where. No text and no traceback: both may repeat an address (promise 2)."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return {"reason": type(error).__name__, "place": place}
