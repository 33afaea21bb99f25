"""`tocsin duties`, `tocsin grade` and `tocsin schema`: answers that need no server."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from incidents.errors import InvalidInput
from incidents.facts import OrganisationProfile
from incidents.facts.files import read_facts
from incidents.grading.answer import grade_json
from tocsin.cli.output import Json, one_line_errors, say, show_table

FactsFile = Annotated[Path, typer.Option("--facts", help="Facts as JSON, YAML or TOML; see `tocsin schema facts`.")]
ProfileFile = Annotated[
    Path | None, typer.Option("--organisation", help="Organisation profile (TOML) that joins the facts.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("duties")(duties)
    app.command("grade")(grade)
    app.command("schema")(schema)


@one_line_errors
def duties(
    facts: FactsFile,
    at: Annotated[str | None, typer.Option("--at", help="Judge as of this instant (ISO 8601 with zone).")] = None,
    organisation: ProfileFile = None,
    as_json: Json = False,
) -> None:
    """Whom to tell, by when, and why: the duties that these facts give under the law packs. Records nothing."""
    from playbooks.law.answer import duties_json

    when = _instant(at) if at else datetime.now(UTC)
    found = duties_json(read_facts(facts), when, profile=_profile(organisation))
    if as_json:
        say(found)
        return
    show_table(
        ("status", "due", "recipient", "stage", "rule"),
        [(d["status"], _when(d), d["recipient"]["name"]["en"], d["stage"], d["rule"]) for d in found],
    )
    typer.echo("Facts and figures with their sources; not legal advice. --json shows the reasons.")


@one_line_errors
def grade(
    facts: FactsFile,
    scheme: Annotated[str, typer.Option("--scheme", help="Grading scheme.")] = "cn-2025",
    organisation: ProfileFile = None,
    as_json: Json = False,
) -> None:
    """The level a published scheme gives these facts, which criteria are met, and which unknown facts leave open."""
    answer = grade_json(scheme, read_facts(facts), profile=_profile(organisation))
    if as_json:
        say(answer)
        return
    typer.echo(f"{answer['scheme']}: {answer['level']} (at most {answer['highest_possible']})")
    show_table(
        ("", "criterion", "level", "open facts"),
        [("met", c["criterion"], c["level"], "") for c in answer["met"]]
        + [("open", c["criterion"], c["level"], ", ".join(c["facts"])) for c in answer["open"]],
    )


@one_line_errors
def schema(
    what: Annotated[str, typer.Argument(help="`facts`, `organisation`, `playbook` or `settings`.")],
    as_json: Json = True,
) -> None:
    """Print a JSON Schema (2020-12)."""
    from incidents.facts.schema import json_schema
    from playbooks.definitions.definition import Playbook
    from tocsin.settings import Settings

    schemas: dict[str, Any] = {
        "facts": json_schema,
        "organisation": OrganisationProfile.model_json_schema,
        "playbook": Playbook.model_json_schema,
        "settings": Settings.model_json_schema,
    }
    if what not in schemas:
        raise InvalidInput(f"There is no schema {what!r}; there are: {', '.join(schemas)}.", field="what")
    del as_json  # a schema is JSON in any case; the option is there because every command has it
    say(schemas[what]())


def _when(duty: dict[str, Any]) -> str:
    due = duty["strict_due"] or duty["earliest_deadline"]
    word = (duty["promptness"] or "").replace("_", " ")
    return str(due)[:16].replace("T", " ") + str(due)[-6:] if due else word


def _profile(path: Path | None) -> OrganisationProfile | None:
    if path is None:
        return None
    try:
        return OrganisationProfile.from_toml(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}", field="--organisation") from error


def _instant(text: str) -> datetime:
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(f"{text!r} is not an ISO 8601 instant.", field="--at") from error
    if when.tzinfo is None:
        raise InvalidInput(f"{text!r} has no zone; write 2026-06-12T16:20+02:00 or ...Z.", field="--at")
    return when
