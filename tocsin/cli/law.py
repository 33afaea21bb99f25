"""`tocsin duties`, `tocsin grade` and `tocsin schema`: answers that need no server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from incidents.errors import FieldFault, InvalidInput
from tocsin.cli.loading import read_document, read_facts
from tocsin.cli.output import Json, one_line_errors, say, show_table

if TYPE_CHECKING:
    from incidents.facts import OrganisationProfile
    from playbooks.law.delays import DelayRequest
    from playbooks.law.law import Law

FactsFile = Annotated[Path, typer.Option("--facts", help="Facts as JSON, YAML or TOML; see `tocsin schema facts`.")]
ProfileFile = Annotated[
    Path | None, typer.Option("--organisation", help="Organisation profile (TOML) that joins the facts.")
]


PacksFolder = Annotated[
    Path | None, typer.Option("--packs", help="A folder with law packs of your own, besides those that come along.")
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
    packs: PacksFolder = None,
    delays: Annotated[
        Path | None,
        typer.Option("--delays", help="Requests of authorities to wait, as if on record: `delays: [...]` in a file."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="List every possible duty in a row of its own.")] = False,
    as_json: Json = False,
) -> None:
    """Whom to tell, by when, and why: the duties that these facts give under the law packs. Records nothing."""
    from playbooks.law.answer import duties_json

    when = instant(at) if at else datetime.now(UTC)
    found = duties_json(
        read_facts(facts),
        when,
        profile=read_profile(organisation),
        law=read_law(packs),
        delays=read_delays(delays),
    )
    if as_json:
        say(found)
        return
    show_table(
        ("status", "due", "recipient", "stage", "rule"),
        [*_possible(found, one_by_one=everything), *(_row(d) for d in found if d["status"] != "possible")],
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
    from incidents.grading.answer import grade_json

    answer = grade_json(scheme, read_facts(facts), profile=read_profile(organisation))
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
    from incidents.facts import OrganisationProfile
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


_FEW = 4
"""Possible duties that the same facts would settle get a row each up to this number, and one row together above it."""


def _possible(found: Sequence[dict[str, Any]], *, one_by_one: bool) -> Iterator[tuple[str, ...]]:
    """The possible duties by the facts that would settle them, those that could be due first at the top."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for duty in found:
        if duty["status"] == "possible":
            groups.setdefault(tuple(duty["settle_by"]), []).append(duty)
    for settle_by, duties in groups.items():
        if one_by_one or len(duties) <= _FEW:
            for duty in duties:
                row = _row(duty)
                yield row[0], row[1], row[2], row[3], f"{row[4]} (settled by {', '.join(settle_by)})"
            continue
        places = sorted({duty["jurisdiction"] for duty in duties})
        shown = ", ".join(places[:12]) + (f" and {len(places) - 12} more" if len(places) > 12 else "")
        rules = len({duty["rule"] for duty in duties})
        settles = f"{rules} rules, settled by {', '.join(settle_by)} (--all lists them)"
        yield "possible", _when(duties[0]), shown, "", settles


def _row(duty: dict[str, Any]) -> tuple[str, ...]:
    status, stage = duty["status"].replace("_", " "), duty["stage"].replace("_", " ")
    return status, _when(duty), _whom(duty), stage, duty["rule"]


def _when(duty: dict[str, Any]) -> str:
    """The deadline in the authority's zone; the internal reminder where the law has no number; else the law's word."""
    from playbooks.law.words import end_en

    if duty["status"] == "paused":
        return _pause(duty["delay"])
    if (kept := duty["retention"]) is not None:
        end = datetime.fromisoformat(kept["until"]) if kept["until"] else None
        length = f"{kept['amount']} {kept['unit'].replace('_', ' ')}"
        return f"kept until {end_en(end, ends_with_day=True)}" if end else f"kept {length}"
    due, word = duty["strict_due"] or duty["earliest_deadline"], (duty["promptness"] or "").replace("_", " ")
    if due is None and duty["reminder_at"] is not None:
        reminder = datetime.fromisoformat(duty["reminder_at"])
        return f"{word}; reminder {end_en(reminder, ends_with_day=False)} {_offset(reminder)}"
    if due is None:
        return word if duty["clock"]["at"] else f"{word}{'; ' if word else ''}once known: {_event(duty)}"
    moment = datetime.fromisoformat(due)
    whole = duty["ends_with_day"] and (moment.hour, moment.minute) == (0, 0)
    words = f"{'until ' if whole else ''}{end_en(moment, ends_with_day=whole)} {_offset(moment)}"
    if duty["status"] == "possible":
        return f"earliest {words}"
    legal = datetime.fromisoformat(duty["legal_end"])
    return words if legal == moment else f"{words} (legal end {end_en(legal, ends_with_day=duty['ends_with_day'])})"


def _pause(delay: dict[str, Any]) -> str:
    """Until when a duty waits, and when it is due then."""
    from playbooks.law.words import moment_en

    if delay["until"] is None:
        return "paused until the request ends"
    until = datetime.fromisoformat(delay["until"])
    words = f"paused until {moment_en(until)} {_offset(until)}"
    if delay["resumes_due"] is None:
        return words
    due = datetime.fromisoformat(delay["resumes_due"])
    return words if due == until else f"{words}, then due {moment_en(due)} {_offset(due)}"


def _event(duty: dict[str, Any]) -> str:
    return (
        str(duty["clock"]["event"])
        .replace("submitted:", "submission under ")
        .replace("end_of:", "end of ")
        .replace("|", " or ")
    )


def _offset(moment: datetime) -> str:
    return f"{moment:%z}"[:3] + ":" + f"{moment:%z}"[3:5]


def _whom(duty: dict[str, Any]) -> str:
    name = str(duty["recipient"]["name"]["en"])
    return f"{name} (low confidence: verify with counsel)" if duty["confidence"] == "low" else name


def read_delays(path: Path | None) -> tuple[DelayRequest, ...]:
    """Requests to wait from a file: a list under `delays`, in the form of `POST /v1/duties/simulate`."""
    if path is None:
        return ()
    from pydantic import TypeAdapter, ValidationError

    from playbooks.law.delays import DelayRequest

    raw = read_document(path)
    try:
        return TypeAdapter(tuple[DelayRequest, ...]).validate_python(raw.get("delays", ()))
    except ValidationError as fault:
        faults = [
            FieldFault(".".join(("delays", *map(str, error["loc"]))), error["msg"])
            for error in fault.errors(include_input=False, include_url=False)
        ]
        raise InvalidInput(f"{path}: {faults[0].field}: {faults[0].reason}", errors=faults) from fault


def read_law(folder: Path | None) -> Law:
    """The law packs that come along, and those in a folder."""
    from playbooks.law.law import load_law

    return load_law(*([folder] if folder is not None else ()))


def read_profile(path: Path | None) -> OrganisationProfile | None:
    """The organisation profile in a TOML file, if one is named."""
    if path is None:
        return None
    from incidents.facts import OrganisationProfile

    try:
        return OrganisationProfile.from_toml(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}", field="--organisation") from error


def instant(text: str, field: str = "--at") -> datetime:
    """An instant given on the command line."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(f"{text!r} is not an ISO 8601 instant.", field=field) from error
    if when.tzinfo is None:
        raise InvalidInput(f"{text!r} has no zone; write 2026-06-12T16:20+02:00 or ...Z.", field=field)
    return when
