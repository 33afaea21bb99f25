"""`tocsin campaign draft`, `revise`, `preview` and `reject`: a notice until it is approved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from tocsin.cli.loading import read_document
from tocsin.cli.output import Json, one_line_errors, say
from tocsin.cli.remote import HERE, Key, Service, Url

Values = Annotated[Path, typer.Option("--values", help="What fills the template (JSON, YAML, TOML).")]


def register(campaign: typer.Typer) -> None:
    """Add the commands to those of campaigns."""
    for name, command in (("draft", draft), ("revise", revise), ("preview", preview), ("reject", reject)):
        campaign.command(name)(command)


@one_line_errors
def draft(
    incident: str,
    values: Values,
    template: Annotated[str, typer.Option("--template")] = "personal-data-breach",
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Draft a notice to the people of an incident, for all duties that are due to individuals."""
    body = {"template": template, "values": read_document(values)}
    answer = Service(url, key).post(f"/v1/incidents/{quote(incident, safe='')}/campaigns", body)
    _show(answer, as_json=as_json)


@one_line_errors
def revise(campaign_id: str, values: Values, url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """Replace what fills the template. An approval asked for or given before is void."""
    path = f"/v1/campaigns/{quote(campaign_id, safe='')}/text"
    body = json.dumps({"values": read_document(values)}).encode()
    _show(Service(url, key).put(path, content=body, media="application/json"), as_json=as_json)


@one_line_errors
def preview(
    campaign_id: str,
    language: Annotated[str, typer.Option("--language", help="Language of the notice, such as zh-Hans.")] = "en",
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """The notice as an invented person would get it."""
    answer = Service(url, key).get(f"/v1/campaigns/{quote(campaign_id, safe='')}/preview", language=language)
    if as_json:
        say(answer)
        return
    typer.echo(f"{answer['email']['subject']}\n\n{answer['email']['text']}")
    typer.echo(f"--- text message, {answer['sms']['segments']} segments\n{answer['sms']['text']}")


@one_line_errors
def reject(
    campaign_id: str,
    reason: Annotated[str, typer.Option("--reason", help="What the author has to change; it stays on record.")],
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Say no to a notice that waits for approval, or take an approval back before it starts."""
    answer = Service(url, key).post(f"/v1/campaigns/{quote(campaign_id, safe='')}/rejection", {"reason": reason})
    _show(answer, as_json=as_json)


def _show(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        say(answer)
        return
    typer.echo(f"campaign {answer['campaign_id']}: {answer['status'].replace('_', ' ')}")
    typer.echo(f"text digest {answer['text_digest']}")
    if answer["missing_items"]:
        typer.echo(f"lacks what the law demands: {', '.join(answer['missing_items'])}")
