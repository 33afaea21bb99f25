"""`tocsin law ...` and `tocsin period`: the packs themselves, whether they are sound, what they cover and say."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from incidents.errors import FieldFault, InvalidInput
from tocsin.cli.law import FactsFile, PacksFolder, ProfileFile, instant, read_law, read_profile
from tocsin.cli.loading import read_document, read_facts
from tocsin.cli.output import EXIT_FAULT, Json, one_line_errors, say, show_table

if TYPE_CHECKING:
    from playbooks.law.law import Law

NOT_ADVICE = "Facts and figures with their sources; not legal advice."

group = typer.Typer(help="The law packs: check them, see what they cover, read a rule.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(group, name="law")
    app.command("period")(period)


@group.command("lint")
@one_line_errors
def lint(
    folder: Annotated[Path | None, typer.Argument(help="A folder with packs of your own; without it, ours.")] = None,
    as_json: Json = False,
) -> None:
    """Check packs: schema, dates, stages, conditions, and every rule by its worked cases. Exit 1 when one is faulty."""
    from playbooks.law.law import load_law
    from playbooks.law.lint import lint as check

    law: Law | None = None
    try:
        law = load_law(*([folder] if folder else ()), built_in=folder is None)
        found = check(law)
        if folder is not None:
            load_law(folder)  # together with ours: an id that exists there already is a fault too
    except InvalidInput as error:
        found = list(error.errors) or [FieldFault(str(folder or "packs"), error.detail)]
    counts = {
        "packs": len(law.packs) if law else 0,
        "rules": sum(len(pack.rules) for pack in law.packs) if law else 0,
        "cases": sum(len(pack.cases) for pack in law.packs) if law else 0,
    }
    if as_json:
        say(counts | {"faults": [{"where": fault.field, "what": fault.reason} for fault in found]})
    else:
        for fault in found:
            typer.echo(f"{fault.field}: {fault.reason}")
        said = ", ".join(f"{number} {name}" for name, number in counts.items())
        typer.echo(f"{said}: {f'{len(found)} faults' if found else 'sound'}.")
    if found:
        raise typer.Exit(EXIT_FAULT)


@group.command("coverage")
@one_line_errors
def coverage(
    on: Annotated[str | None, typer.Option("--on", help="The day that `in force` speaks of (default: today).")] = None,
    packs: PacksFolder = None,
    as_json: Json = False,
) -> None:
    """What the packs cover: instruments, rules, cases, confidence and rules in force, by jurisdiction."""
    from playbooks.law.coverage import coverage as cover

    found = cover(read_law(packs), _day(on))
    if as_json:
        say(found.model_dump(mode="json"))
        return
    show_table(
        ("jurisdiction", "instruments", "rules", "in force", "cases", "high", "medium", "low"),
        [
            (one.jurisdiction, len(one.instruments), one.rules, one.in_force, one.cases, *one.confidence.values())
            for one in found.jurisdictions
        ],
    )
    low = sum(one.confidence["low"] for one in found.jurisdictions)
    typer.echo(
        f"{found.instruments} instruments, {found.rules} rules, {found.in_force} in force on {found.on}, "
        f"{found.cases} cases; {low} rules of low confidence: verify with counsel. {NOT_ADVICE}"
    )


@group.command("explain")
@one_line_errors
def explain(
    rule: Annotated[str, typer.Argument(help="Id of a rule, such as eu-gdpr-33-1-authority.")],
    packs: PacksFolder = None,
    as_json: Json = False,
) -> None:
    """What one rule says: who, when, whom, what and by when, with its sources and worked cases."""
    from playbooks.law.alone import named_rule
    from playbooks.law.describe import describe

    pack, found = named_rule(read_law(packs), rule)
    if as_json:
        say(
            {
                "instrument": pack.instrument.model_dump(mode="json"),
                "rule": found.model_dump(mode="json"),
                "place": pack.place_of(rule),
                "cases": [case.model_dump(mode="json") for case in pack.cases if rule in case.expect],
            }
        )
        return
    typer.echo(f"{pack.instrument.name}, article {found.article}")
    typer.echo(f"{found.id} · {pack.place_of(rule)} · pack {pack.instrument.id} {pack.instrument.version}\n")
    for label, text in describe(pack, found):
        typer.echo(f"{label}: {text}")
    for case in pack.cases:
        if rule in case.expect:
            typer.echo(f"case: {case.about} ({case.expect[rule].status.replace('_', ' ')})")
    typer.echo(NOT_ADVICE)


@group.command("contents")
@one_line_errors
def contents(
    facts: FactsFile,
    rule: Annotated[list[str] | None, typer.Option("--rule", help="Only duties of this rule; may be repeated.")] = None,
    draft: Annotated[
        Path | None,
        typer.Option("--draft", help="A draft: item id -> text (JSON, YAML or TOML); says what is missing."),
    ] = None,
    at: Annotated[str | None, typer.Option("--at", help="Judge as of this instant (ISO 8601 with zone).")] = None,
    organisation: ProfileFile = None,
    packs: PacksFolder = None,
    as_json: Json = False,
) -> None:
    """Everything the duties demand to be said, each item once with the rules that ask for it."""
    from playbooks.law import derive, standard_calendars
    from playbooks.law.contents import check_draft, demanded_items

    law = read_law(packs)
    when = instant(at) if at else datetime.now(UTC)
    duties = derive(read_facts(facts), law, standard_calendars(), at=when, profile=read_profile(organisation))
    demanded = demanded_items(duty for duty in duties if not rule or duty.rule in rule)
    checked = check_draft(demanded, _draft(draft)) if draft is not None else None
    missing = {item.id for item in checked.missing} if checked else set()
    if as_json:
        answer: dict[str, Any] = {"items": [item.model_dump(mode="json") for item in demanded]}
        if checked is not None:
            answer |= {
                "missing": [item.id for item in checked.missing],
                "complete": checked.is_complete,
                "not_demanded": list(checked.not_demanded),
            }
        say(answer)
    else:
        columns = ("item", "text", "asked by", *(("draft",) if checked else ()))
        said = {True: "missing", False: "there"}
        show_table(
            columns,
            [
                (
                    item.id,
                    item.text["en"],
                    ", ".join(_asking(law, name) for name in item.rules) + ("" if item.certain else " (possible)"),
                    *((said[item.id in missing],) if checked else ()),
                )
                for item in demanded
            ],
        )
        if checked is not None and checked.not_demanded:
            typer.echo(f"Nobody asks for: {', '.join(checked.not_demanded)}.")
    if checked is not None and not checked.is_complete:
        raise typer.Exit(EXIT_FAULT)


def _asking(law: Law, name: str) -> str:
    """A rule that asks for an item; one of low confidence says so."""
    found = law.rule(name)
    return f"{name} (verify with counsel)" if found is not None and found[1].confidence == "low" else name


@one_line_errors
def period(
    rule: Annotated[str, typer.Option("--rule", help="Id of the rule.")],
    start: Annotated[str, typer.Option("--start", help="When its clock started (ISO 8601 with zone).")],
    zone: Annotated[str | None, typer.Option("--zone", help="IANA zone to count in, instead of the seat's.")] = None,
    country: Annotated[
        str | None, typer.Option("--country", help="Where the authority sits, for a rule of a region (DE).")
    ] = None,
    event: Annotated[
        list[str] | None, typer.Option("--event", help="Time of another event, for a second limit: aware=2026-...Z.")
    ] = None,
    packs: PacksFolder = None,
    as_json: Json = False,
) -> None:
    """Count the period of one rule alone, with every step in words."""
    from playbooks.law import standard_calendars
    from playbooks.law.alone import count_alone
    from playbooks.law.words import end_en

    answer = count_alone(
        read_law(packs),
        rule,
        instant(start, "--start"),
        standard_calendars(),
        country=country,
        zone=_zone(zone),
        events=dict(_events(event or ())),
    )
    if as_json:
        say(answer.model_dump(mode="json"))
        return
    for reason in answer.why:
        typer.echo(reason.text["en"])
    if answer.strict_due and answer.legal_end:
        whole = answer.ends_with_day
        typer.echo(f"strict: {end_en(answer.strict_due, ends_with_day=whole)}   ({answer.strict_due.isoformat()})")
        typer.echo(f"legal end: {end_en(answer.legal_end, ends_with_day=whole)}   ({answer.legal_end.isoformat()})")
    typer.echo(NOT_ADVICE)


def _events(given: Iterable[str]) -> Iterable[tuple[str, datetime]]:
    for text in given:
        name, equals, when = text.partition("=")
        if not equals:
            raise InvalidInput(f"{text!r} is not of the form name=time.", field="--event")
        yield name.strip(), instant(when.strip(), "--event")


def _zone(name: str | None) -> ZoneInfo | None:
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInput(
            f"{name!r} is not a time zone; use an IANA name such as Asia/Shanghai.", field="--zone"
        ) from error


def _day(text: str | None) -> date:
    if text is None:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(f"{text!r} is not a day such as 2026-11-22.", field="--on") from error


def _draft(path: Path) -> dict[str, str]:
    raw = read_document(path)
    inner = raw.get("items", raw)
    if not isinstance(inner, dict) or not all(isinstance(text, str) for text in inner.values()):
        raise InvalidInput("A draft is an object: item id -> text.", field="--draft")
    return inner
