"""The story of First light, played through the door of an installation, and what must be true when it is over.

Whoever plays it goes on trying, as people and detectors do: every command carries an Idempotency-Key, so that one that
was answered with an error, or not at all, is sent again and has one effect.
"""

from __future__ import annotations

import csv
import io
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import astuple
from importlib.resources import files
from typing import Any
from uuid import UUID, uuid4

import httpx
import yaml
from sqlalchemy import func, select

from incidents.clock import SystemClock
from incidents.incident.incident import Incident
from incidents.record import Record
from incidents.record.database import open_engine
from incidents.record.partitioned import Divisions
from notifier.campaigns.campaign import Campaign, CampaignStatus
from notifier.campaigns.events import DeliveriesRecorded
from notifier.deliveries.states import Phase
from notifier.deliveries.tables import deliveries, delivery_batches, sendings
from notifier.standins.outcomes import ordinary_numbers
from playbooks.automation import MOVES_BY
from playbooks.automation import NAME as AUTOMATION
from playbooks.duties.register import DutyRegister
from playbooks.runs.run import Run
from tests.faults.detector import Detector
from tests.faults.installation import Installation
from tests.relayed import assert_relayed_completely
from tests.world import certificates, wait_for
from tocsin.story.people import BOUNCING, CHINESE, ENGLISH, VIETNAMESE, Person, people

CAC = "cn-measures-4-other-4h"
FACTS = {
    "event_kinds": ["personal_data_breach", "cybersecurity_incident"],
    "data_classes": ["personal", "health"],
    "data_events": ["leaked"],
    "malicious": True,
    "persons_by_country": {"CN": CHINESE, "VN": VIETNAMESE, "DE": ENGLISH},
    "direct_loss": {"CNY": 6_200_000},
    "risk_to_persons": "high",
    "harm_to_persons_or_orgs": True,
    "harm_effectively_avoided": False,
}

PATIENCE = 240.0
BY_MAIL = sum(not person.phone for person in people())
"""Who is told by mail, of whose arrival nobody reports: those without a telephone (one of whose mailboxes does not
exist), and one whose number has no telephone behind it."""


def crowd(count: int) -> list[Person]:
    """The people of the story, and so many more with telephones."""
    numbers = ordinary_numbers("GB")
    taken = {person.phone for person in people()}
    free = (number for number in numbers if number not in taken)
    return [*people(), *(Person(f"Crowd {n}", next(free), "", "en", "GB") for n in range(count))]


MANY_NIGHTS = int(os.environ.get("TOCSIN_TEST_NIGHTS", "1")) > 1
"""Whether nights that differ in little are all played; each takes a minute on two cores."""
NOT_TOLD = ("failed", "ambiguous")
"""Who was being written to when a process died may have been refused then too: nobody can tell any more."""


class Night:
    """One incident, from the detector's alert to the last receipt."""

    def __init__(self, installation: Installation, told: Sequence[Person] | None = None) -> None:
        self.installation = installation
        self.people = list(told if told is not None else people())
        self.incident_id = ""
        self.campaign_id = ""
        self.marked = 0
        """How many are marked as told or not, nobody knows; after `check`."""

    def declare(self, detector: Detector | None = None) -> None:
        """The alert, twice, by HTTP or from a detector by Kafka; triage; the facts."""
        alert = files("tocsin.story").joinpath("alert.wazuh.json").read_bytes()
        if detector is None:
            receipt = self.command("siem", "POST", "/v1/alerts/wazuh", content=alert)
            assert self.command("siem", "POST", "/v1/alerts/wazuh", content=alert)["outcome"] == "duplicate"
            self.incident_id = receipt["incident_id"]
        else:
            detector.send([alert, alert])
            self.incident_id = self.eventually(
                "/v1/incidents",
                lambda page: page["items"][0]["incident_id"] if page["items"] else None,
                "the incident",
            )
        here = f"/v1/incidents/{self.incident_id}"
        self.command("analyst", "POST", f"{here}/transitions", json={"transition": "triage", "comment": "Real."})
        facts = {**FACTS, "persons_affected": len(self.people)}
        self.command("analyst", "POST", f"{here}/facts", json={"facts": facts, "source": "query log"})

    def approve(self) -> None:
        """The draft that the run opened: completed and approved by two people."""
        self.campaign_id = self.eventually(
            "/v1/campaigns",
            lambda page: next((c["campaign_id"] for c in page["items"] if c["incident_id"] == self.incident_id), None),
            "the draft of the notice",
        )
        here = f"/v1/campaigns/{self.campaign_id}"
        words = yaml.safe_load(files("tocsin.story").joinpath("notice.yaml").read_text("utf-8"))
        values = self.ask(here)["campaign"]["values"]
        self.command("analyst", "PUT", f"{here}/text", json={"values": {**values, **words}})
        self.command("analyst", "PUT", f"{here}/audience", content=self._csv())
        self.command("analyst", "POST", f"{here}/approval-request", json={})
        view = self.ask(here)["campaign"]
        digests = {"text_digest": view["text_digest"], "audience_digest": view["audience_digest"]}
        self.command("approver", "POST", f"{here}/approval", json=digests)

    def waive_one_duty(self) -> None:
        """A decision of a person, in time."""
        duty = self.eventually(
            f"/v1/incidents/{self.incident_id}/duties",
            lambda page: next((d for d in page["items"] if d["rule"] == CAC and d["status"] == "due"), None),
            "the duty to the authority",
        )
        here = f"/v1/incidents/{self.incident_id}/duties/{duty['duty_id']}"
        self.command("approver", "POST", f"{here}/waiver", json={"reason": "Told by telephone, on file."})

    def wait_until_told(self, share: float) -> None:
        """Until so many of the people have been told."""
        wait_for(
            lambda: True if len(self.installation.world.told()) >= share * len(self.people) else None,
            f"{share:.0%} of the people to be told",
            patience=PATIENCE,
        )

    def wait_until_over(self) -> dict[str, Any]:
        """Until the campaign is finished and all receipts are in. Returns its coverage."""
        path = f"/v1/campaigns/{self.campaign_id}/coverage"
        last: dict[str, Any] = {}

        def is_over(coverage: dict[str, Any]) -> dict[str, Any] | None:
            last.update(coverage)
            return coverage if coverage["state"] == "finished" and coverage["outcomes"]["accepted"] <= BY_MAIL else None

        try:
            over: dict[str, Any] = self.eventually(path, is_over, "the campaign to finish")
        except AssertionError as error:
            stands = what_is_open(self.installation.database_url)
            logs = self.installation.logs()
            raise AssertionError(f"{error}: {last.get('state')} {last.get('outcomes')}\n{stands}\n{logs}") from None
        return over

    def ask(self, path: str) -> Any:
        """Read, however often it takes."""
        return self._until_answered(lambda http: http.get(path), "auditor", path)

    def eventually(self, path: str, chosen: Callable[[Any], Any], what: str) -> Any:
        return wait_for(lambda: chosen(self.ask(path)), what, patience=PATIENCE)

    def command(self, role: str, method: str, path: str, **rest: Any) -> Any:
        """Command, however often it takes; one effect."""
        headers = {"Idempotency-Key": str(uuid4())}
        if path.startswith("/v1/alerts/"):
            headers = {"Content-Type": "application/json"}  # an alert repeated finds itself
        elif path.endswith("/audience"):
            headers["Content-Type"] = "text/csv"
        return self._until_answered(lambda http: http.request(method, path, headers=headers, **rest), role, path)

    def _until_answered(self, send: Callable[[httpx.Client], httpx.Response], role: str, path: str) -> Any:
        def attempt() -> Any:
            headers = {"Authorization": f"Bearer {self.installation.keys[role]}"}
            try:
                url = self.installation.url
                with httpx.Client(base_url=url, headers=headers, timeout=20, verify=certificates()) as http:
                    answer = send(http)
            except httpx.TransportError:
                return None
            if answer.status_code >= 500 or answer.status_code in {409, 429}:
                return None
            assert answer.status_code < 300, f"{path}: {answer.status_code} {answer.text}"
            return answer.json() if answer.content else {}

        return wait_for(attempt, f"an answer of {path}\n{self.installation.logs()[-3000:]}", patience=PATIENCE)

    def _csv(self) -> bytes:
        out = io.StringIO(newline="")
        writer = csv.writer(out)
        writer.writerow(("name", "phone", "email", "language", "country"))
        writer.writerows(astuple(person) for person in self.people)
        return out.getvalue().encode()

    def check(self, *, comes_back: bool = True) -> None:
        """What must hold, whatever happened: coverage adds up, everybody was told once or it is marked, and the record
        says the same as the tables and the world. Where a relay takes part: its topic has every event, in order.
        `comes_back`: whoever listens for mails that come back is at work, so that each does."""
        coverage = self.wait_until_over()
        outcomes = coverage["outcomes"]
        assert outcomes["planned"] == len(self.people)
        parts = ("accepted", "delivered", "failed", "suppressed", "cancelled", "ambiguous", "pending")
        assert sum(outcomes[part] for part in parts) == outcomes["planned"], outcomes
        with self.installation.record() as record:
            wait_for(lambda: True if automation_is_done(self.installation.database_url, record) else None, "automation")
            self._check_record(record)
            # A mail may come back when the campaign is finished already: what counts is how things stand in the end.
            not_told = {name: outcomes[name] for name in NOT_TOLD}
            assert sum(not_told.values()) == 1, f"one mailbox does not exist: {not_told}"
            self.marked = len(self.marked_in(record))
            if self.installation.bootstrap:
                topic = self.installation.topics.events
                assert_relayed_completely(record, self.installation.bootstrap, topic, patience=PATIENCE)
        self._check_world(self.marked, comes_back=comes_back)

    def how_it_ended(self, record: Record) -> dict[str, object]:
        """All that an auditor would compare between two nights: the incident, each duty, each step, the outcomes."""
        incident = record.load(Incident, UUID(self.incident_id))
        register = record.load(DutyRegister, DutyRegister.id_for(incident.id))
        run = record.load(Run, Run.id_for(incident.id, "personal-data-breach"))
        campaign = record.load(Campaign, UUID(self.campaign_id))
        outcomes = self.wait_until_over()["outcomes"]
        return {
            "phase": incident.phase,
            "facts": sorted(incident.facts),
            "grades": {scheme: grade.level for scheme, grade in incident.grades.items()},
            # Without those that were lifted: whether one stood for a moment, until the next facts were stated, is a
            # question of when automation looked.
            "duties": sorted(
                (state.duty.rule, str(state.duty.status), state.is_open, state.missed)
                for state in register.duties.values()
                if not state.lifted
            ),
            "steps": {step: (state.open, state.outcome) for step, state in run.steps.items()},
            "campaign": campaign.status,
            "told": sum(count for outcome, count in outcomes.items() if outcome not in {*NOT_TOLD, "planned"}),
            "not told": sum(outcomes[name] for name in NOT_TOLD),
        }

    def marked_in(self, record: Record) -> set[UUID]:
        """Those of whom the record says that nobody can know whether they were told."""
        events = record.read(0, 1_000_000, kinds=[DeliveriesRecorded.kind])
        moves = [move for r in events if isinstance(r.event, DeliveriesRecorded) for move in r.event.moves]
        return {move.recipient for move in moves if move.state == "ambiguous"}

    def _check_record(self, record: Record) -> None:
        events = record.read(0, 1_000_000)
        positions = [recorded.position for recorded in events]
        assert positions == sorted(set(positions))
        versions: defaultdict[UUID, list[int]] = defaultdict(list)
        for recorded in events:
            versions[recorded.event.originator_id].append(recorded.event.originator_version)
        for stream, numbers in versions.items():
            assert numbers == list(range(1, len(numbers) + 1)), f"stream {stream} has gaps or is out of order"
        causes = Counter(
            (r.event.originator_id, r.event.kind, r.event.cause)
            for r in events
            if r.event.kind in {"incident.declared", "campaign.drafted", "campaign.started", "campaign.finished"}
        )
        assert not [what for what, count in causes.items() if count > 1]
        moves = [move for r in events if isinstance(r.event, DeliveriesRecorded) for move in r.event.moves]
        again = [what for what, count in Counter((m.delivery, m.state) for m in moves).items() if count > 1]
        assert not again, f"recorded twice: {again[:3]}"
        campaign = record.load(Campaign, UUID(self.campaign_id))
        assert campaign.status is CampaignStatus.FINISHED
        assert sum(campaign.outcomes.values()) == len(self.people)
        assert {move.recipient for move in moves} == {move.recipient for move in moves if move.state != "claimed"}
        incident = record.load(Incident, UUID(self.incident_id))
        register = record.load(DutyRegister, DutyRegister.id_for(incident.id))
        assert [state.duty.rule for state in register.duties.values() if state.missed] == []
        assert incident.grades

    def _check_world(self, marked: int, *, comes_back: bool) -> None:
        world, nobody = self.installation.world, {p.email for p in self.people if p.email.startswith(BOUNCING)}
        if comes_back:  # what was sent again does so a moment later
            wait_for(lambda: None if nobody & world.told().keys() else True, "the mail nobody can get to come back")
        told, repeats = world.told(), 0
        for person in self.people:
            by = [told[address] for address in (person.phone, person.email) if address in told]
            if person.email in nobody:
                continue
            assert by, f"a person who reads {person.language} was not told"
            repeats += len(by) - 1 + sum(each.messages - 1 + each.repeats for each in by)
        assert repeats <= marked, f"{repeats} repeats, {marked} marked"


def what_is_open(database_url: str) -> str:
    """The batches and the single deliveries that are not done, as a text without anybody's name."""
    single, batch = deliveries.c, delivery_batches.c
    stand = (single.channel, single.repeat, single.state, single.phase, single.code)
    lease = (single.lease_owner, single.lease_until, single.due_at)
    wanted = (
        select(sendings),
        select(delivery_batches).where(batch.state != "done"),
        select(*stand, *lease, func.count()).where(single.phase != Phase.DONE.value).group_by(*stand, *lease),
    )
    engine = open_engine(database_url)
    try:
        with engine.connect() as connection:
            return "\n".join(str(dict(row._mapping)) for query in wanted for row in connection.execute(query))
    finally:
        engine.dispose()


def automation_is_done(database_url: str, record: Record) -> bool:
    """Whether no event waits for automation, in whatever partitions that is divided."""
    engine = open_engine(database_url)
    try:
        division = Divisions(engine, record, SystemClock()).of(AUTOMATION)
    finally:
        engine.dispose()
    kinds = [event.kind for event in MOVES_BY]
    positions = [max(division.start, record.position_of(name)) for name in division.names()]
    return not any(record.read(position, 1, kinds=kinds) for position in positions)
