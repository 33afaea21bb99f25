"""`tocsin campaign pause`, `resume`, `cancel` and `progress`: sending under control."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from tocsin.cli.output import Json, one_line_errors, say
from tocsin.cli.remote import HERE, Key, Service, Url

Why = Annotated[str, typer.Option("--reason", help="Why; it stays on record.")]


def register(campaign: typer.Typer) -> None:
    """Add the commands to those of campaigns."""
    for name, command in (("pause", pause), ("resume", resume), ("cancel", cancel), ("progress", progress)):
        campaign.command(name)(command)


def _steer(campaign_id: str, what: str, reason: str, url: str, key: str) -> Any:
    return Service(url, key).post(f"/v1/campaigns/{quote(campaign_id, safe='')}/{what}", {"reason": reason})


def _said(answer: Any, *, as_json: bool) -> None:
    if as_json:
        say(answer)
    else:
        typer.echo(f"campaign {answer['campaign_id']}: {answer['status']}")


@one_line_errors
def pause(campaign_id: str, reason: Why, url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """Write to nobody new, at once; what is on the wire is settled."""
    _said(_steer(campaign_id, "pause", reason, url, key), as_json=as_json)


@one_line_errors
def resume(campaign_id: str, reason: Why, url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """Go on with a paused campaign, from where it stood."""
    _said(_steer(campaign_id, "resumption", reason, url, key), as_json=as_json)


@one_line_errors
def cancel(campaign_id: str, reason: Why, url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """Call a campaign off for good."""
    _said(_steer(campaign_id, "cancellation", reason, url, key), as_json=as_json)


@one_line_errors
def progress(campaign_id: str, url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """How far sending is, what it waits for, and whether that is in time for the law."""
    answer = Service(url, key).get(f"/v1/campaigns/{quote(campaign_id, safe='')}/progress")
    if as_json:
        say(answer)
        return
    for line in progress_lines(answer):
        typer.echo(line)


def progress_lines(answer: dict[str, Any]) -> list[str]:
    """The progress in sentences."""
    lines = [
        f"{answer['done']} of {answer['recipients']} tried, {answer['left']} left, {answer['cancelled']} cancelled"
    ]
    if answer["paused_at"]:
        lines.append(f"paused since {answer['paused_at']}")
    if answer.get("unanswered"):
        lines.append(
            f"unclear messages stay unclear: a provider does not say what became of them ({answer['unanswered']})"
        )
    if answer.get("filtered_at"):
        share = f"{answer['texts_filtered']} of {answer['texts_ended']}"
        lines.append(f"networks filter the text messages: {share} so far; look at the text and the sender")
    if answer["held_until"]:
        lines.append(
            f"rests until {answer['held_until']} after a fault of ours: {_fault(answer, 'held_')}; nobody is lost"
        )
    if answer["asleep"]:
        lines.append(f"{answer['asleep']} are not disturbed before {answer['awake_at']}")
    lines += [
        f"{one['name']} ({one['channel']}) is left alone until {one['until']}: {_fault(one)}"
        for one in answer["resting"]
    ]
    if answer["per_hour"] is not None:
        lines.append(f"speed: {answer['per_hour']:.0f} an hour, done at {answer['ends_at'] or 'an unknown time'}")
    if answer["in_time"] is False:
        needed = f"; {answer['needed_per_hour']:.0f} an hour would do it" if answer["needed_per_hour"] else ""
        lines.append(f"NOT in time: the deadline is {answer['deadline']}{needed}")
    elif answer["in_time"]:
        lines.append(f"in time: the deadline is {answer['deadline']}")
    return lines


def _fault(told: dict[str, Any], prefix: str = "") -> str:
    """A fault in words, with its code for whoever has to look it up."""
    code, meaning = told[f"{prefix}code"] or "no code", told.get(f"{prefix}meaning")
    return f"{meaning['en']} ({code})" if meaning else code
