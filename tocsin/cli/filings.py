"""`tocsin filing`: what a filing must say, what it says, who answers for it, and that it went out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from incidents.errors import FieldFault, InvalidInput
from tocsin.cli.loading import read_document
from tocsin.cli.output import Json, one_line_errors, say, show_table
from tocsin.cli.remote import HERE, Key, Service, Url

Incident = Annotated[str, typer.Argument(help="The incident: its id or reference.")]
Duty = Annotated[str, typer.Argument(help="The duty's id, as `tocsin incident duties` shows it.")]
Language = Annotated[str, typer.Option("--language", help="`en` or `zh-Hans`.")]
Override = Annotated[
    str | None, typer.Option("--override-reason", help="Why it goes out without items that the law demands.")
]

filing = typer.Typer(help="Filings: form, document, approval, submission.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(filing, name="filing")


@filing.command("show")
@one_line_errors
def show(
    incident: Incident,
    duty: Duty,
    language: Language = "en",
    text: Annotated[bool, typer.Option("--text", help="The document instead of the form.")] = False,
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Every item the law demands: who or what answers it, what is missing, and whom the filing goes to."""
    part = "filing-draft" if text else "filing-form"
    answer = Service(url, key).get(_path(incident, duty, part), language=language)
    if as_json:
        say(answer)
    elif text:
        typer.echo(f"{answer['subject']}\n\n{answer['text']}")
    else:
        _show_form(answer)


@filing.command("write")
@one_line_errors
def write(
    incident: Incident,
    duty: Duty,
    file: Annotated[
        Path,
        typer.Argument(
            help="JSON, YAML or TOML: item id to its text, or to {not_yet_known: true, text: when it follows}."
        ),
    ],
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Write items. An empty text takes back what was written; items that are not named stay as they are."""
    items = {name: _item(name, value) for name, value in read_document(file).items()}
    answer = Service(url, key).post(_path(incident, duty, "filing-items"), {"items": items})
    if as_json:
        say(answer)
    else:
        _show_form(answer)


@filing.command("approve")
@one_line_errors
def approve(
    incident: Incident,
    duty: Duty,
    digest: Annotated[str, typer.Option("--digest", help="Digest of the form you read.")],
    override_reason: Override = None,
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Approve exactly what you read."""
    body = {"digest": digest} | _override(override_reason)
    answer = Service(url, key).post(_path(incident, duty, "filing-approval"), body)
    if as_json:
        say(answer)
    else:
        typer.echo("approved")


@filing.command("submit")
@one_line_errors
def submit(
    incident: Incident,
    duty: Duty,
    submitted_at: Annotated[str | None, typer.Option("--at", help="When it went out (ISO 8601 with zone).")] = None,
    reference: Annotated[str | None, typer.Option("--reference", help="What the receiver calls it.")] = None,
    override_reason: Override = None,
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Record that a filing went out. Refused, naming each missing item, unless a reason overrides that."""
    body = {"submitted_at": submitted_at, "reference": reference}
    answer = Service(url, key).post(
        _path(incident, duty, "filing"),
        {name: value for name, value in body.items() if value} | _override(override_reason),
    )
    if as_json:
        say(answer)
    else:
        typer.echo("filed")


def _path(incident: str, duty: str, part: str) -> str:
    return f"/v1/incidents/{incident}/duties/{duty}/{part}"


def _override(reason: str | None) -> dict[str, Any]:
    return {"override_reason": reason} if reason else {}


def _item(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    if isinstance(value, str):
        return {"text": value}
    reason = "must be a text, or {not_yet_known: true, text: ...}"
    raise InvalidInput(f"items.{name} {reason}", errors=[FieldFault(f"items.{name}", reason)])


def _show_form(form: dict[str, Any]) -> None:
    for warning in form["warnings"]:
        typer.secho(f"!!! {warning['text']}", fg="red", bold=True)
    if form["counsel"]:
        typer.secho(f"{form['counsel']} {form['note']}".rstrip(), fg="yellow")
    show_table(
        ("item", "state", "the law asks for", "it says"),
        [(item["id"], item["state"].replace("_", " "), item["text"], item["answer"]) for item in form["items"]],
    )
    for one in form["receivers"]:
        value = one["value"] or {}
        address = ", ".join(str(value[name]) for name in ("name", *one["channels"]) if value.get(name))
        typer.echo(f"to {one['party']} ({one['purpose']}): {address or 'address hidden'}")
    missing = ", ".join(form["missing"])
    typer.echo(f"missing: {missing}" if missing else "nothing is missing")
    typer.echo(f"digest {form['digest']}")
