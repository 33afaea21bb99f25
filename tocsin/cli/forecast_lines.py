"""What a forecast says, in sentences for a terminal."""

from __future__ import annotations

from datetime import timedelta
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


def work_lines(answer: dict[str, Any]) -> list[str]:
    """What goes out first and how long that takes."""
    cost = "no prices set" if answer["cost"] is None else f"{answer['cost']} {answer['currency']}"
    if answer["unpriced"]:
        cost += f" (without {', '.join(answer['unpriced'])}: no price)"
    lines = [
        f"{answer['sms_segments']} segments to {answer['sms_recipients']}, {answer['email_recipients']} mails",
        f"cost: {cost}",
    ]
    if answer["call_recipients"]:
        lines.append(f"{answer['call_recipients']} calls: {_length(answer['call_seconds'])}")
    if answer["im_recipients"]:
        lines.append(f"{answer['im_recipients']} instant messages: nobody knows how fast they are taken")
    if answer["unreachable"]:
        lines.append(f"no address for any channel that is set up: {answer['unreachable']} people")
    if answer["with_address"]:
        lines.append(
            f"with a postal address: {answer['with_address']} people; letters are made by hand for those whom nothing "
            "else reached, and nobody can forecast their time"
        )
    lines.append(f"time: {_length(answer['seconds'])}")
    return lines


def _length(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
