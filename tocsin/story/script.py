"""The night, scene by scene.

Every scene is a command with an id of its own, so a story that was killed goes on where it stopped when it is played
again: what was done has no second effect. Scenes wait for what the system itself does in between.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any
from uuid import UUID

import structlog
import yaml

from incidents.errors import TocsinError
from incidents.incident.events import IncidentReported
from incidents.incident.incident import Incident
from incidents.record import Context, stable_id
from notifier.campaigns.campaign import Campaign, CampaignStatus
from playbooks.duties.register import DutyRegister, DutyState
from playbooks.filings.events import ItemWritten
from playbooks.runs.run import Run
from tocsin.bridges import campaign_of_step
from tocsin.services import Services
from tocsin.story.clock import StoryClock
from tocsin.story.people import CHINESE, ENGLISH, VIETNAMESE, audience_csv

log = structlog.get_logger(__name__)

SIEM, LAN, QIANG, MEI = "siem:wazuh-changsha", "user:lan", "user:qiang", "user:mei"
"""Lan is the analyst on duty, Qiang her approver, Mei the privacy officer."""

NIGHT = timedelta(hours=7, minutes=40)
"""How long before the present the story begins."""

PATIENCE = 120.0
"""Seconds to wait for the system between scenes before the story is given up (and logged)."""

CYBERSPACE = ("cn-measures-4-other-4h", "cn-hn-21-incident", "cn-hn-21-plan")
POLICE = ("cn-measures-4-suspected-crime", "cn-ndsr-11-suspected-crime")
OTHERS = ("cn-pipl-57-authority", "cn-ndsr-11-incident-authority", "cn-hn-26-data-incident-authority")
"""Rules whose reports go out during the night. The European one does not yet: its clock is still running."""


class StoryStuck(TocsinError):
    """The system did not do in time what the next scene needs."""

    code = "story-stuck"
    title = "The story cannot go on"


@dataclass(frozen=True, slots=True)
class Scene:
    """One command of one person, so many minutes after the first alert."""

    name: str
    minute: int
    play: Callable[[Story, Context], None]
    actor: str


class Story:
    """The night over the services of a demo."""

    def __init__(
        self,
        services: Services,
        clock: StoryClock,
        *,
        settled: Callable[[], bool],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """`settled` says whether the automation has nothing left to do."""
        self.services = services
        self._clock = clock
        self._settled = settled
        self._pause = pause
        self._began: datetime | None = None

    def prepare(self) -> bool:
        """Whether there is something to play: the database is empty, or holds a night that was interrupted.

        Sets the clock to where the night is. To be called before anything else runs by this clock: a deadline of
        the night would count as missed if the automation woke up in the present.
        """
        record = self.services.record
        first = record.read(0, 1)
        if not first:
            self._began = self.services.clock.now() - NIGHT
            self._clock.set_back_to(self._began)
            return True
        if first[0].event.cause != _command(SCENES[0]):
            return False
        self._began = first[0].event.recorded_at
        if self._is_over():
            return False
        (last,) = record.read(record.head() - 1, 1)
        self._clock.set_back_to(last.event.recorded_at)
        return True

    def play(self) -> None:
        """Play what has not been played yet; the clock shows the real time afterwards."""
        try:
            for scene in SCENES:
                self.wait_for("the automation", lambda: True if self._settled() else None)
                self._clock.move_on_to(self.began + timedelta(minutes=scene.minute))
                context = Context(actor=scene.actor, cause=_command(scene), recorded_at=self._clock.now())
                scene.play(self, context)
                log.info("story.scene", scene=scene.name)
            self.wait_for("the automation", lambda: True if self._settled() else None)
        finally:
            self._clock.catch_up()

    @property
    def began(self) -> datetime:
        if self._began is None:
            raise StoryStuck("The story has not begun.")
        return self._began

    def incident_id(self) -> UUID:
        """The incident that the first alert declared."""
        for recorded in self.services.record.read(0, 1, kinds=[IncidentReported.kind]):
            return recorded.event.originator_id
        raise StoryStuck("The story's alert declared no incident.")

    def send_alert(self, context: Context) -> None:
        """The detector's alert, with the time of this night in it."""
        text = files("tocsin.story").joinpath("alert.wazuh.json").read_text("utf-8")
        alert = json.loads(text.replace("2026-11-06 02:14:36.913 CST", self.began.strftime("%Y-%m-%d %H:%M:%S.%f UTC")))
        alert["timestamp"] = self.began.isoformat(timespec="milliseconds").replace("+00:00", "+0000")
        alert["id"] = f"{self.began.timestamp():.6f}"
        self.services.intake.receive("wazuh", json.dumps(alert).encode(), context)

    def wait_for(self, what: str, found: Callable[[], Any]) -> Any:
        """Wait until the system has done its part; StoryStuck when it does not."""
        for _ in range(int(PATIENCE / 0.05)):
            if (value := found()) is not None:
                return value
            self._pause(0.05)
        raise StoryStuck(f"The story waited {PATIENCE:.0f} s for {what}.")

    def campaign_id(self) -> UUID:
        """The campaign that the run opened by itself."""
        run_id = Run.id_for(self.incident_id(), "personal-data-breach")

        def found() -> UUID | None:
            campaign_id = campaign_of_step(self.services.record, run_id, "draft-notice")
            if campaign_id is None or self.services.record.find(Campaign, campaign_id) is None:
                return None
            return campaign_id

        return UUID(str(self.wait_for("the draft of the notice", found)))

    def duties_of_rule(self, rule: str) -> list[str]:
        """The duties on record under a rule that still have to be done, once there is one at all."""
        incident_id = self.incident_id()

        def found() -> list[DutyState] | None:
            register = self.services.record.find(DutyRegister, DutyRegister.id_for(incident_id))
            states = register.duties.values() if register else ()
            return [s for s in states if s.duty.rule == rule and s.duty.status == "due"] or None

        return [state.duty.duty_id for state in self.wait_for(f"a duty under {rule}", found) if state.is_open]

    def _is_over(self) -> bool:
        incident = self.services.record.load(Incident, self.incident_id())
        return incident.has_done(Context(actor=LAN, cause=_command(SCENES[-1]), recorded_at=self.began))


def _command(scene: Scene) -> str:
    return f"command:{stable_id('story', scene.name)}"


def _alert(story: Story, context: Context) -> None:
    story.send_alert(context)


def _assign(story: Story, context: Context) -> None:
    story.services.incidents.assign(story.incident_id(), context, "lan")


def _triage(story: Story, context: Context) -> None:
    story.services.incidents.triage(
        story.incident_id(), context, assessment="Confirmed on the host: bulk reads by an account that never does that."
    )


def _first_facts(story: Story, context: Context) -> None:
    facts = {
        "occurred_at": (story.began - timedelta(minutes=35)).isoformat(),
        "event_kinds": ["personal_data_breach", "cybersecurity_incident", "cyberattack"],
        "data_classes": ["personal", "health"],
        "data_events": ["leaked", "stolen"],
        "malicious": True,
    }
    story.services.incidents.state_facts(story.incident_id(), context, facts, source="host forensics, first look")


def _contain(story: Story, context: Context) -> None:
    story.services.incidents.move(
        story.incident_id(), context, "contain", comment="Account locked, egress to the foreign host closed."
    )


def _more_facts(story: Story, context: Context) -> None:
    facts = {
        "persons_affected": CHINESE + VIETNAMESE + ENGLISH,
        "persons_by_country": {"CN": CHINESE, "VN": VIETNAMESE, "DE": ENGLISH},
        "direct_loss": {"CNY": 6_200_000},
        "risk_to_persons": "high",
        "harm_to_persons_or_orgs": True,
        "harm_effectively_avoided": False,
        "harm_classes": ["dignity", "property"],
        "suspected_crime": True,
        "sector_has_rules": False,
        "disproportionate_effort": False,
        "authority_orders_notice": False,
        "first_report_complete": True,
    }
    story.services.incidents.state_facts(story.incident_id(), context, facts, source="query log, finance on call")


def _write_notice(story: Story, context: Context) -> None:
    campaign_id = story.campaign_id()
    campaign = story.services.record.load(Campaign, campaign_id)
    words = yaml.safe_load(files("tocsin.story").joinpath("notice.yaml").read_text("utf-8"))
    story.services.campaigns.revise_text(context, campaign_id, {**campaign.values, **words})


def _attach_audience(story: Story, context: Context) -> None:
    audience = story.services.audiences.import_csv(io.BytesIO(audience_csv()), context)
    story.services.campaigns.attach_audience(context, story.campaign_id(), audience.audience_id)


def _request_approval(story: Story, context: Context) -> None:
    story.services.campaigns.request_approval(context, story.campaign_id())


def _approve(story: Story, context: Context) -> None:
    campaign_id = story.campaign_id()
    view = story.services.campaigns.view(campaign_id)
    story.services.campaigns.approve(
        context, campaign_id, text_digest=view.text_digest, audience_digest=view.audience_digest
    )


def _everybody_told(story: Story, context: Context) -> None:
    campaign_id = story.campaign_id()

    def found() -> bool | None:
        campaign = story.services.record.load(Campaign, campaign_id)
        return True if campaign.status is CampaignStatus.FINISHED else None

    story.wait_for("the notice to reach everybody it can reach", found)
    story.services.incidents.add_note(story.incident_id(), context, "Notice sent; see coverage for those not reached.")


def _file(*rules: str) -> Callable[[Story, Context], None]:
    def play(story: Story, context: Context) -> None:
        said = yaml.safe_load(files("tocsin.story").joinpath("filings.yaml").read_text("utf-8"))
        filings, incident = story.services.filings, story.incident_id()
        for rule in rules:
            for duty_id in story.duties_of_rule(rule):
                missing = filings.view(incident, duty_id).standing.missing
                items = {name: ItemWritten(text=said[name].strip()) for name in missing if name in said}
                if items:
                    filings.write(incident, duty_id, _own(context, "write", duty_id), items)
                filings.submit(incident, duty_id, _own(context, duty_id))

    return play


def _own(context: Context, *parts: str) -> Context:
    """Each filing is a command of its own: the same cause would be taken for a repeat."""
    return context.model_copy(update={"cause": f"command:{stable_id('story', context.cause, *parts)}"})


def _eradicate(story: Story, context: Context) -> None:
    story.services.incidents.move(story.incident_id(), context, "eradicate", comment="Staff passwords reset.")


def _recover(story: Story, context: Context) -> None:
    story.services.incidents.move(
        story.incident_id(), context, "recover", comment="Orders flow again; watch continues."
    )


SCENES: tuple[Scene, ...] = (
    Scene("alert", 0, _alert, SIEM),
    Scene("assign", 9, _assign, LAN),
    Scene("triage", 14, _triage, LAN),
    Scene("first-facts", 22, _first_facts, LAN),
    Scene("contain", 41, _contain, LAN),
    Scene("more-facts", 66, _more_facts, MEI),
    Scene("file-cyberspace", 118, _file(*CYBERSPACE), MEI),
    Scene("file-police", 124, _file(*POLICE), MEI),
    Scene("write-notice", 131, _write_notice, LAN),
    Scene("attach-audience", 149, _attach_audience, LAN),
    Scene("request-approval", 152, _request_approval, LAN),
    Scene("approve", 171, _approve, QIANG),
    Scene("everybody-told", 188, _everybody_told, LAN),
    Scene("file-others", 197, _file(*OTHERS), MEI),
    Scene("eradicate", 262, _eradicate, LAN),
    Scene("recover", 371, _recover, LAN),
)
"""In order. Minutes count from the first alert."""
