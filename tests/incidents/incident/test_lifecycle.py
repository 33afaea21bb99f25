"""The lifecycle as a table: which command is possible in which phase, and where it leads."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest

from incidents.errors import IllegalTransition, InvalidInput
from incidents.incident.events import AlertSummary
from incidents.incident.incident import Incident
from incidents.incident.lifecycle import Phase
from incidents.record import Context
from tests.conftest import NIGHT, ContextMaker

Command = Callable[[Incident, Context], None]

COMMANDS: dict[str, Command] = {
    "triage": lambda i, c: i.triage(c),
    "contain": lambda i, c: i.contain(c),
    "eradicate": lambda i, c: i.eradicate(c),
    "recover": lambda i, c: i.recover(c),
    "close": lambda i, c: i.close(c, "Nothing more to do."),
    "reopen": lambda i, c: i.reopen(c, "It came back."),
}
PATHS = {
    Phase.REPORTED: [],
    Phase.TRIAGED: ["triage"],
    Phase.CONTAINED: ["triage", "contain"],
    Phase.ERADICATED: ["triage", "contain", "eradicate"],
    Phase.RECOVERED: ["triage", "contain", "eradicate", "recover"],
    Phase.CLOSED: ["triage", "contain", "eradicate", "recover", "close"],
}
LEADS_TO = {
    (Phase.REPORTED, "triage"): Phase.TRIAGED,
    (Phase.REPORTED, "close"): Phase.CLOSED,
    (Phase.TRIAGED, "contain"): Phase.CONTAINED,
    (Phase.TRIAGED, "close"): Phase.CLOSED,
    (Phase.CONTAINED, "eradicate"): Phase.ERADICATED,
    (Phase.CONTAINED, "recover"): Phase.RECOVERED,
    (Phase.CONTAINED, "close"): Phase.CLOSED,
    (Phase.ERADICATED, "recover"): Phase.RECOVERED,
    (Phase.ERADICATED, "close"): Phase.CLOSED,
    (Phase.RECOVERED, "close"): Phase.CLOSED,
    (Phase.CLOSED, "reopen"): Phase.TRIAGED,
}


def incident_in(phase: Phase, analyst: ContextMaker) -> Incident:
    incident = Incident.report(uuid4(), analyst(), title="Ransom note on the file server")
    for command in PATHS[phase]:
        COMMANDS[command](incident, analyst())
    return incident


@pytest.mark.parametrize("phase", list(PATHS))
@pytest.mark.parametrize("command", list(COMMANDS))
def test_each_command_leads_where_the_table_says_or_is_refused(
    phase: Phase, command: str, analyst: ContextMaker
) -> None:
    incident = incident_in(phase, analyst)
    version = incident.version
    expected = LEADS_TO.get((phase, command))

    if expected is None:
        with pytest.raises(IllegalTransition, match=phase.value):
            COMMANDS[command](incident, analyst())
        assert (incident.phase, incident.version) == (phase, version)
    else:
        COMMANDS[command](incident, analyst())
        assert incident.phase is expected


def test_closing_before_recovery_needs_a_reason(analyst: ContextMaker) -> None:
    incident = incident_in(Phase.TRIAGED, analyst)

    with pytest.raises(InvalidInput, match="say in a comment why"):
        incident.close(analyst(), "  ")


def test_nothing_can_have_happened_in_the_future(analyst: ContextMaker) -> None:
    incident = incident_in(Phase.REPORTED, analyst)

    with pytest.raises(InvalidInput, match="in the future"):
        incident.triage(analyst(happened_at=NIGHT + timedelta(hours=1)))


def test_only_facts_that_changed_are_recorded(analyst: ContextMaker) -> None:
    incident = incident_in(Phase.TRIAGED, analyst)
    incident.state_facts(analyst(), {"persons_affected": 200, "malicious": True})
    version = incident.version

    incident.state_facts(analyst(), {"persons_affected": 200})
    assert incident.version == version

    incident.state_facts(analyst(), {"persons_affected": 212, "malicious": "unknown"})
    last = incident.collect_events()[-1]
    assert last.facts == {"persons_affected": 212, "malicious": "unknown"}  # type: ignore[attr-defined]
    assert last.revised == ("malicious", "persons_affected")  # type: ignore[attr-defined]
    assert incident.facts == {"persons_affected": 212}


def test_an_alert_is_linked_once(analyst: ContextMaker) -> None:
    incident = incident_in(Phase.REPORTED, analyst)
    alert = AlertSummary(
        alert_id=uuid4(),
        dialect="wazuh",
        source="manager-1",
        rule="100210",
        title="Bulk export from a table with personal data",
        severity_id=4,
        digest="0" * 64,
        detected_at=NIGHT,
    )
    incident.link_alert(analyst(), alert)
    version = incident.version

    incident.link_alert(analyst(), alert)

    assert incident.version == version


def test_a_merged_incident_says_where_work_goes_on(analyst: ContextMaker) -> None:
    part, whole = incident_in(Phase.TRIAGED, analyst), incident_in(Phase.TRIAGED, analyst)
    part.merge_into(whole, analyst())

    assert whole.absorbed == {part.id}
    with pytest.raises(IllegalTransition, match=str(whole.id)):
        part.contain(analyst())


def test_an_incident_is_not_merged_into_itself(analyst: ContextMaker) -> None:
    incident = incident_in(Phase.TRIAGED, analyst)

    with pytest.raises(InvalidInput, match="into itself"):
        incident.merge_into(incident, analyst())


def test_a_persons_grade_stands_against_the_computed_one(analyst: ContextMaker) -> None:
    incident = incident_in(Phase.TRIAGED, analyst)

    def computed(level: str) -> None:
        incident.grade(analyst(), scheme="cn-2025", scheme_version="1", level=level, met=("x",), open_criteria=())

    computed("general")
    incident.grade(
        analyst(),
        scheme="cn-2025",
        scheme_version="1",
        level="relatively_major",
        met=(),
        open_criteria=(),
        override_reason="A qualitative threat that no number shows.",
    )
    computed("general")

    assert incident.grades["cn-2025"].level == "relatively_major"
