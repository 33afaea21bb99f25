"""`tocsin alert`, `tocsin incident`, `tocsin campaign`, `tocsin deadlines`: commands to a running service.

The address and the key come from `TOCSIN_URL` and `TOCSIN_KEY` or the options; a key never stands on the command line
of a shared machine, where `ps` would show it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer

from incidents.errors import FieldFault, InvalidInput, NotAuthenticated, TocsinError
from tocsin.cli.forecast_lines import late_lines, work_lines
from tocsin.cli.loading import read_document
from tocsin.cli.output import Json, one_line_errors, say, show_table

if TYPE_CHECKING:
    import httpx

TIMEOUT = 30.0

Url = Annotated[str, typer.Option("--url", envvar="TOCSIN_URL", help="Where the service is.")]
Key = Annotated[
    str, typer.Option("--key", envvar="TOCSIN_KEY", help="API key; better as the variable.", show_default=False)
]
_MEDIA = {
    ".ndjson": "application/x-ndjson",
    ".jsonl": "application/x-ndjson",
    ".parquet": "application/vnd.apache.parquet",
}
HERE = "http://127.0.0.1:8000"

alert = typer.Typer(help="Alerts.", no_args_is_help=True)
incident = typer.Typer(help="Incidents.", no_args_is_help=True)
campaign = typer.Typer(help="Notices to the people affected.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(alert, name="alert")
    app.add_typer(incident, name="incident")
    app.add_typer(campaign, name="campaign")
    app.command("deadlines")(deadlines)


class Service:
    """A running Tocsin, as the command line talks to it. Problem documents become errors again."""

    def __init__(self, url: str, key: str) -> None:
        if not key:
            raise NotAuthenticated("Set TOCSIN_KEY to an API key.")
        import httpx

        self._client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=TIMEOUT)

    def get(self, path: str, **params: Any) -> Any:
        return self._send("GET", path, params={name: value for name, value in params.items() if value is not None})

    def post(self, path: str, body: Any = None, *, content: bytes | None = None, media: str = "", **params: Any) -> Any:
        headers = {"Idempotency-Key": str(uuid4())}
        if content is not None:
            headers["Content-Type"] = media or "application/json"
            return self._send("POST", path, content=content, headers=headers, params=params)
        return self._send("POST", path, json=body or {}, headers=headers, params=params)

    def delete(self, path: str) -> Any:
        return self._send("DELETE", path, headers={"Idempotency-Key": str(uuid4())})

    def put(self, path: str, *, content: bytes, media: str, **params: Any) -> Any:
        headers = {"Idempotency-Key": str(uuid4()), "Content-Type": media}
        return self._send("PUT", path, content=content, headers=headers, params=params)

    def stream(self, path: str, **body: Any) -> Iterator[bytes]:
        """A long answer to a command, piece by piece. TocsinError when it breaks off."""
        import httpx

        headers = {"Idempotency-Key": str(uuid4())}
        try:
            with self._client.stream("POST", path, json=body, headers=headers, timeout=None) as response:
                if not response.is_success:
                    response.read()
                    raise _as_error(response)
                yield from response.iter_bytes()
        except httpx.HTTPError as error:
            raise TocsinError(f"The service at {self._client.base_url} broke off: {error}") from error

    def download(self, path: str) -> tuple[bytes, httpx.Headers]:
        """A file that a command makes, and what its headers say of it."""
        response = self._answer("POST", path, headers={"Idempotency-Key": str(uuid4())})
        return response.content, response.headers

    def _send(self, method: str, path: str, **kwargs: Any) -> Any:
        response = self._answer(method, path, **kwargs)
        return response.json() if response.content else None

    def _answer(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        import httpx

        try:
            response = self._client.request(method, path, **kwargs)
        except httpx.HTTPError as error:
            raise TocsinError(f"The service at {self._client.base_url} does not answer: {error}") from error
        if response.is_success:
            return response
        raise _as_error(response)


def _as_error(response: httpx.Response) -> TocsinError:
    try:
        problem = response.json()
        detail = f"{problem['title']}: {problem.get('detail') or ''}".rstrip(": ")
        if response.status_code >= 500 and problem.get("request_id"):
            detail = f"{detail} (request {problem['request_id']})"
        faults = [FieldFault(str(e.get("field", "")), str(e.get("reason", ""))) for e in problem.get("errors") or ()]
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError):
        return TocsinError(f"The service answered {response.status_code} with something that is no problem document.")
    kind = InvalidInput if response.status_code in {400, 413, 415, 422} else TocsinError
    return kind(detail, errors=faults)


@alert.command("send")
@one_line_errors
def send_alert(
    file: Annotated[Path, typer.Argument(help="The alert as its detector wrote it; - for standard input.")],
    dialect: Annotated[str, typer.Option("--dialect", help="`wazuh` or `ocsf`.")],
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Send an alert; the same alert sent twice has one effect."""
    answer = Service(url, key).post(f"/v1/alerts/{dialect}", content=_read(file))
    if as_json:
        say(answer)
    else:
        typer.echo(f"{answer['outcome']}: alert {answer['alert_id']}, incident {answer['incident_id'] or 'none'}")


@incident.command("list")
@one_line_errors
def list_incidents(url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """The board: incidents by the clock that runs out first."""
    page = Service(url, key).get("/v1/incidents")
    if as_json:
        say(page)
        return
    show_table(
        ("reference", "state", "title", "next deadline"),
        [
            (row["reference"], row["state"], row["title"], (row["next_duty"] or {}).get("due_at", ""))
            for row in page["items"]
        ],
    )


@incident.command("show")
@one_line_errors
def show_incident(incident_id: str, url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """One incident: state, facts, grades."""
    answer = Service(url, key).get(f"/v1/incidents/{incident_id}")
    del as_json  # an incident is a tree; JSON is its readable form too
    say(answer)


@incident.command("report")
@one_line_errors
def report(
    title: Annotated[str, typer.Option("--title")],
    summary: Annotated[str, typer.Option("--summary")] = "",
    facts: Annotated[Path | None, typer.Option("--facts", help="What is known already (JSON, YAML, TOML).")] = None,
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Declare an incident."""
    known = read_document(facts) if facts else {}
    answer = Service(url, key).post("/v1/incidents", {"title": title, "summary": summary, "facts": known})
    if as_json:
        say(answer)
    else:
        typer.echo(f"incident {answer['id']}")


@incident.command("facts")
@one_line_errors
def state_facts(
    incident_id: str,
    file: Annotated[Path, typer.Argument(help="Facts as JSON, YAML or TOML; `unknown` takes one back.")],
    source: Annotated[str, typer.Option("--source", help="Where they come from.")] = "",
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """State or revise facts."""
    answer = Service(url, key).post(
        f"/v1/incidents/{incident_id}/facts", {"facts": read_document(file), "source": source}
    )
    _done(answer, "stated", as_json=as_json)


@incident.command("move")
@one_line_errors
def move(
    incident_id: str,
    transition: Annotated[str, typer.Argument(help="triage, contain, eradicate, recover, close or reopen.")],
    comment: Annotated[str, typer.Option("--comment")] = "",
    happened_at: Annotated[str | None, typer.Option("--at", help="When it happened (ISO 8601 with zone).")] = None,
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Move an incident along its lifecycle."""
    body: dict[str, Any] = {"transition": transition, "comment": comment}
    if happened_at:
        body["happened_at"] = happened_at
    answer = Service(url, key).post(f"/v1/incidents/{incident_id}/transitions", body)
    _done(answer, "moved", as_json=as_json)


@incident.command("note")
@one_line_errors
def note(incident_id: str, text: str, url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """Add a note to the timeline."""
    answer = Service(url, key).post(f"/v1/incidents/{incident_id}/notes", {"text": text})
    _done(answer, "noted", as_json=as_json)


@incident.command("duties")
@one_line_errors
def list_duties(incident_id: str, url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """The duties on record of an incident."""
    answer = Service(url, key).get(f"/v1/incidents/{incident_id}/duties")
    if as_json:
        say(answer)
    else:
        show_deadlines(answer["items"])


@incident.command("timeline")
@one_line_errors
def timeline(incident_id: str, url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """Everything that happened, in order."""
    answer = Service(url, key).get(f"/v1/incidents/{incident_id}/timeline")
    if as_json:
        say(answer)
        return
    show_table(("when", "who", "what"), [(e["happened_at"], e["actor"], e["sentence"]) for e in answer["items"]])


@incident.command("waive")
@one_line_errors
def waive(
    incident_id: str,
    duty: str,
    reason: Annotated[str, typer.Option("--reason")],
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Record that a duty is not required, and why."""
    answer = Service(url, key).post(f"/v1/incidents/{incident_id}/duties/{duty}/waiver", {"reason": reason})
    _done(answer, "waived", as_json=as_json)


@incident.command("file")
@one_line_errors
def file_duty(
    incident_id: str,
    duty: str,
    submitted_at: Annotated[str | None, typer.Option("--at", help="When it was filed (ISO 8601 with zone).")] = None,
    override_reason: Annotated[
        str | None, typer.Option("--override-reason", help="Why it went out without items that the law demands.")
    ] = None,
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Record that a filing was made. See `tocsin filing` for what it must say."""
    given = {"submitted_at": submitted_at, "override_reason": override_reason}
    body = {name: value for name, value in given.items() if value}
    answer = Service(url, key).post(f"/v1/incidents/{incident_id}/duties/{duty}/filing", body)
    _done(answer, "filed", as_json=as_json)


@campaign.command("show")
@one_line_errors
def show_campaign(campaign_id: str, url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """A notice: text, audience, approval."""
    del as_json
    say(Service(url, key).get(f"/v1/campaigns/{campaign_id}"))


@campaign.command("audience")
@one_line_errors
def attach_audience(
    campaign_id: str,
    file: Annotated[Path, typer.Argument(help=".csv, .ndjson or .parquet: name,phone,email,language,country.")],
    accept_valid: Annotated[bool, typer.Option("--accept-valid", help="Take the good rows, list the bad.")] = False,
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Import an audience and attach it. With a bad row nothing is imported, unless --accept-valid."""
    answer = Service(url, key).put(
        f"/v1/campaigns/{campaign_id}/audience",
        content=_read(file),
        media=_MEDIA.get(file.suffix.lower(), "text/csv"),
        accept_valid="true" if accept_valid else "false",
    )
    _done(answer, "attached", as_json=as_json)


@campaign.command("choose-audience")
@one_line_errors
def choose_audience(campaign_id: str, audience_id: str, url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """Attach an audience that `tocsin audience import` brought in."""
    answer = Service(url, key).put(
        f"/v1/campaigns/{campaign_id}/audience-choice",
        content=json.dumps({"audience_id": audience_id}).encode(),
        media="application/json",
    )
    _done(answer, "attached", as_json=as_json)


@campaign.command("request-approval")
@one_line_errors
def request_approval(campaign_id: str, url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """Ask a second person to approve exactly this text and audience."""
    _done(Service(url, key).post(f"/v1/campaigns/{campaign_id}/approval-request"), "asked", as_json=as_json)


@campaign.command("approve")
@one_line_errors
def approve(
    campaign_id: str,
    text_digest: Annotated[str, typer.Option("--text-digest", help="Digest of the text you read.")],
    audience_digest: Annotated[str, typer.Option("--audience-digest", help="Digest of the audience you saw.")],
    override_reason: Annotated[str | None, typer.Option("--override-reason")] = None,
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Approve a notice that somebody else wrote."""
    body: dict[str, Any] = {"text_digest": text_digest, "audience_digest": audience_digest}
    if override_reason:
        body["override_reason"] = override_reason
    _done(Service(url, key).post(f"/v1/campaigns/{campaign_id}/approval", body), "approved", as_json=as_json)


@campaign.command("test")
@one_line_errors
def mail_test(
    campaign_id: str,
    to: Annotated[list[str], typer.Option("--to", help="A colleague, by the name under [warnings.owners].")],
    languages: Annotated[list[str] | None, typer.Option("--language", help="Default: all the audience reads.")] = None,
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Mail the notice as it stands to colleagues, marked as a test. It counts for nothing."""
    body = {"to": to, "languages": languages or []}
    answer = Service(url, key).post(f"/v1/campaigns/{campaign_id}/test-mails", body)
    if as_json:
        say(answer)
    else:
        rows = [(mail["to"], mail["language"], mail["outcome"], mail["code"] or "") for mail in answer["mails"]]
        show_table(("to", "language", "outcome", "code"), rows)


@campaign.command("forecast")
@one_line_errors
def forecast(campaign_id: str, url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """Before it is approved: segments by language, what they cost, how long sending lasts."""
    answer = Service(url, key).get(f"/v1/campaigns/{campaign_id}/forecast")
    if as_json:
        say(answer)
        return
    if answer["sms_recipients"]:
        show_table(
            ("language", "segments each", "recipients", "segments"),
            [
                (language, one["segments"], one["recipients"], one["total_segments"])
                for language, one in answer["by_language"].items()
            ],
        )
    for line in (*work_lines(answer), *late_lines(answer)):
        typer.echo(line)


@campaign.command("coverage")
@one_line_errors
def coverage(campaign_id: str, url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """Who has been reached, in numbers."""
    del as_json
    say(Service(url, key).get(f"/v1/campaigns/{campaign_id}/coverage"))


@one_line_errors
def deadlines(url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """Open deadlines of all incidents, the first to run out first."""
    answer = Service(url, key).get("/v1/deadlines")
    if as_json:
        say(answer)
    else:
        show_deadlines(answer["items"])


def show_deadlines(rows: list[dict[str, Any]]) -> None:
    """Duties as a table."""
    show_table(
        ("status", "due", "used", "owner", "recipient", "duty"),
        [
            (
                row["status"],
                _when(row),
                f"{row['percent_used']:.0f} %" if row["percent_used"] is not None else "",
                (row.get("owner") or {}).get("id", ""),
                _whom(row),
                row["duty_id"],
            )
            for row in rows
        ],
    )


def _whom(row: dict[str, Any]) -> str:
    low = row.get("confidence") == "low"
    return f"{row['recipient']} (low confidence: verify with counsel)" if low else str(row["recipient"])


def _when(row: dict[str, Any]) -> str:
    if row["status"] == "paused":
        delay = row.get("delay") or {}
        then = f", then due {delay['resumes_due']}" if delay.get("resumes_due") else ""
        return f"paused until {delay.get('until') or 'the request ends'}{then}"
    if (kept := row.get("retention")) is not None:
        return f"keep until {kept['until']}" if kept.get("until") else f"keep {kept['amount']} {kept['unit']}"
    return str(row["strict_due"] or row.get("earliest_deadline") or row.get("promptness") or "")


def _done(answer: Any, word: str, *, as_json: bool) -> None:
    if as_json:
        say(answer)
    else:
        typer.echo(word)


def _read(file: Path) -> bytes:
    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}", field="file") from error
