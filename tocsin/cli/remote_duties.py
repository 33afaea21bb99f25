"""`tocsin incident assign`, `acknowledge`, `wait`, `end-wait`, `waits`, and `tocsin owners`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tocsin.cli.output import Json, one_line_errors, say, show_table
from tocsin.cli.remote import HERE, Key, Service, Url, incident


def register(app: typer.Typer) -> None:
    """Add the commands; those on an incident were added when this was loaded."""
    app.command("owners")(owners)


@one_line_errors
def owners(url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """Who may own duties, by the settings of the service."""
    answer = Service(url, key).get("/v1/owners")
    if as_json:
        say(answer)
    else:
        show_table(("id", "name"), [(one["id"], one["name"]) for one in answer["items"]])


@incident.command("assign")
@one_line_errors
def assign(
    incident_id: str,
    duty: str,
    owner: Annotated[str, typer.Option("--owner", help="Id of an owner, see `tocsin owners`; empty takes it back.")],
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Give a duty to an owner: warnings about it go there."""
    service, path = Service(url, key), f"/v1/incidents/{incident_id}/duties/{duty}/assignment"
    answer = service.post(path, {"owner": owner}) if owner else service.delete(path)
    _done(answer, f"given to {owner}" if owner else "taken back", as_json=as_json)


@incident.command("acknowledge")
@one_line_errors
def acknowledge(incident_id: str, duty: str, url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """You have seen the warning and act on it: it is not repeated."""
    answer = Service(url, key).post(f"/v1/incidents/{incident_id}/duties/{duty}/acknowledgement")
    _done(answer, "acknowledged", as_json=as_json)


@incident.command("wait")
@one_line_errors
def wait(
    incident_id: str,
    by: Annotated[str, typer.Option("--by", help="law_enforcement, us_attorney_general or regulator.")],
    authority: Annotated[str, typer.Option("--authority", help="Its name, and the function of who spoke for it.")],
    form: Annotated[str, typer.Option("--form", help="oral or written.")],
    stated_at: Annotated[str | None, typer.Option("--at", help="When it was asked (ISO 8601 with zone).")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Until when (ISO 8601 with zone).")] = None,
    reason: Annotated[str, typer.Option("--reason")] = "",
    extraordinary: Annotated[bool, typer.Option("--extraordinary", help="It claims such circumstances.")] = False,
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Record that an authority asked to wait. Duties whose law lets them pause; the answer says which."""
    body: dict[str, Any] = {"by": by, "authority": authority, "form": form, "reason": reason}
    body |= {"stated_at": stated_at} if stated_at else {}
    body |= {"until": until} if until else {}
    body |= {"extraordinary": True} if extraordinary else {}
    _show(Service(url, key).post(f"/v1/incidents/{incident_id}/delays", body), as_json=as_json)


@incident.command("end-wait")
@one_line_errors
def end_wait(
    incident_id: str,
    delay: Annotated[str, typer.Argument(help="Id of the request, see `tocsin incident waits`.")],
    reason: Annotated[str, typer.Option("--reason")],
    ended_at: Annotated[str | None, typer.Option("--at", help="Since when (ISO 8601 with zone), if not now.")] = None,
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Record that a request to wait no longer stands: the clocks run on."""
    body = {"reason": reason, **({"ended_at": ended_at} if ended_at else {})}
    _show(Service(url, key).post(f"/v1/incidents/{incident_id}/delays/{delay}/end", body), as_json=as_json)


@incident.command("waits")
@one_line_errors
def waits(incident_id: str, url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """The requests to wait on record, and what every open duty does with them."""
    _show(Service(url, key).get(f"/v1/incidents/{incident_id}/delays"), as_json=as_json)


def _show(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        say(answer)
        return
    show_table(
        ("request", "authority", "form", "asked", "until", "ended"),
        [
            (one["id"], one["authority"], one["form"], one["stated_at"], one["until"] or "", one["ended_at"] or "")
            for one in answer["delays"]
        ],
    )
    show_table(
        ("clock", "until", "then due", "recipient", "duty"),
        [
            (
                "paused" if one["pauses"] else "runs on",
                one["until"] or "",
                one["resumes_due"] or one["strict_due"] or "",
                one["recipient"],
                one["duty_id"],
            )
            for one in answer["effects"]
        ],
    )


def _done(answer: Any, word: str, *, as_json: bool) -> None:
    if as_json:
        say(answer)
    else:
        typer.echo(word)
