"""What a forecast says of the deadline, in sentences for a terminal."""

from __future__ import annotations

from typing import Any


def late_lines(answer: dict[str, Any]) -> list[str]:
    """What a forecast says of the deadline."""
    if answer.get("in_time") is None:
        return []
    if answer["in_time"]:
        return [f"in time: would end {answer['ends_at']}, the deadline is {answer['deadline']}"]
    lines = [f"NOT in time: would end {answer['ends_at']}, the deadline is {answer['deadline']}"]
    if answer["more_senders"]:
        lines.append(f"{answer['more_senders']} more senders like yours would do it")
    if answer["by_email_seconds"] is not None:
        hours = answer["by_email_seconds"] / 3600
        lines.append(f"email first, to all who have an address, would take {hours:.1f} h")
    return lines
