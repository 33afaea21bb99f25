"""`tocsin public-notice`: notices to everybody, drafted, published by a second person, and corrected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from tocsin.cli.loading import read_document
from tocsin.cli.output import Json, one_line_errors, say
from tocsin.cli.remote import HERE, Key, Service, Url

public = typer.Typer(help="Public notices: what everybody may read, at /p.", no_args_is_help=True)

NoticeId = Annotated[str, typer.Argument(metavar="NOTICE", help="Id of the public notice.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; stays on record.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(public, name="public-notice")


@public.command("list")
@one_line_errors
def listed(incident: str, url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """Public notices of an incident: suggested, drafted, published."""
    answer = Service(url, key).get(f"/v1/incidents/{quote(incident, safe='')}/public-notices")
    if as_json:
        say(answer)
        return
    for one in answer["items"]:
        unreached = f", {one['unreached']} people not reached" if one["unreached"] else ""
        typer.echo(f"{one['notice_id']} {one['status']}, {one['versions']} published{unreached}, {one['updated_at']}")


@public.command("draft")
@one_line_errors
def draft(
    incident: str,
    campaign: Annotated[str, typer.Option("--campaign", help="Take the words of this campaign.")] = "",
    suggestion: Annotated[str, typer.Option("--suggestion", help="Take up this suggestion.")] = "",
    template: Annotated[str, typer.Option("--template")] = "",
    values: Annotated[Path | None, typer.Option("--values", help="JSON, YAML or TOML.")] = None,
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Draft a public notice. Nobody can see it before a second person publishes it."""
    given = {"campaign": campaign, "suggestion": suggestion, "template": template}
    body: dict[str, Any] = {name: value for name, value in given.items() if value}
    if values is not None:
        body["values"] = read_document(values)
    _show(Service(url, key).post(f"/v1/incidents/{quote(incident, safe='')}/public-notices", body), as_json=as_json)


@public.command("show")
@one_line_errors
def show(notice: NoticeId, url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """Where it stands, and its words as they would be published."""
    answer = Service(url, key).get(f"/v1/public-notices/{quote(notice, safe='')}")
    if as_json:
        say(answer)
        return
    _show(answer["notice"], as_json=False)
    for language, said in answer["words"].items():
        typer.echo(f"\n[{language}] {said['subject']}\n{said['text']}")


@public.command("revise")
@one_line_errors
def revise(
    notice: NoticeId,
    values: Annotated[Path, typer.Option("--values", help="The values that replace the present ones.")],
    correction: Annotated[
        list[str] | None, typer.Option("--correction", help="What is corrected, as LANGUAGE=TEXT; may be repeated.")
    ] = None,
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Replace the words of the version being prepared."""
    said = dict(one.partition("=")[::2] for one in correction or ())
    body = json.dumps({"values": read_document(values), "correction": said}).encode()
    path = f"/v1/public-notices/{quote(notice, safe='')}/text"
    _show(Service(url, key).put(path, content=body, media="application/json"), as_json=as_json)


@public.command("ask")
@one_line_errors
def ask(notice: NoticeId, url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """Ask a second person to publish exactly this text."""
    _post(url, key, notice, "approval-request", {}, as_json=as_json)


@public.command("publish")
@one_line_errors
def publish(
    notice: NoticeId,
    digest: Annotated[str, typer.Option("--digest", help="`text digest` as `show` prints it.")],
    override_reason: Annotated[str, typer.Option("--override-reason")] = "",
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Approve exactly this text and publish it. It stays for ever."""
    body = {"text_digest": digest, **({"override_reason": override_reason} if override_reason else {})}
    _post(url, key, notice, "publication", body, as_json=as_json)


@public.command("reject")
@one_line_errors
def reject(notice: NoticeId, reason: Reason, url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """Say no to the text as it stands."""
    _post(url, key, notice, "rejection", {"reason": reason}, as_json=as_json)


@public.command("dismiss")
@one_line_errors
def dismiss(notice: NoticeId, reason: Reason, url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """Decide that a suggested public notice is not needed."""
    _post(url, key, notice, "dismissal", {"reason": reason}, as_json=as_json)


def _post(url: str, key: str, notice: str, what: str, body: dict[str, Any], *, as_json: bool) -> None:
    _show(Service(url, key).post(f"/v1/public-notices/{quote(notice, safe='')}/{what}", body), as_json=as_json)


def _show(view: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        say(view)
        return
    typer.echo(f"public notice {view['notice_id']}: {view['status']}, {len(view['versions'])} published")
    typer.echo(f"text digest {view['text_digest'] or '-'}")
    typer.echo(f"code {view['code']}")
    typer.echo(f"page {view['address']}" if view["versions"] and not view["drill"] else "no page yet")
    if view["missing_items"]:
        typer.echo(f"lacks {', '.join(view['missing_items'])}")
