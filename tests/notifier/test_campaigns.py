"""Campaigns: no mass notice leaves without a second person's approval of exactly that text and audience."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from incidents.clock import ManualClock
from incidents.errors import Conflict, Forbidden, IllegalTransition, InvalidInput, NotFound
from incidents.record import Context, Record, stable_id
from incidents.record.database import open_engine
from notifier.audience import Audiences, RowChecker, language_chooser
from notifier.campaigns.service import CampaignService, CampaignView
from notifier.templates import Templates
from notifier.vault import Vault
from tests.conftest import ContextMaker
from tests.notifier.house import KEYS, VALUES, create_tables
from tests.notifier.test_templates import GDPR_ART_34, ORDER_790_ART_11, PIPL_ART_57

CSV = b"name,phone,email,language,country\nAnn,+8613800138000,,zh,CN\nBo,,bo@example.com,en,GB\n"


class Office:
    """The people who work on a campaign."""

    def __init__(self, service: CampaignService, audiences: Audiences, clock: ManualClock) -> None:
        self.service = service
        self.audiences = audiences
        self.clock = clock
        self.lan = ContextMaker(clock, "user:lan")
        self.minh = ContextMaker(clock, "user:minh")
        self.sofia = ContextMaker(clock, "user:sofia")
        self.system = ContextMaker(clock, "system:tocsin")

    def audience(self, content: bytes = CSV) -> Any:
        return self.audiences.import_csv(io.BytesIO(content), self.lan())

    def drafted(self, context: Context | None = None, **fields: Any) -> CampaignView:
        defaults = {"incident_id": uuid4(), "template": "personal-data-breach", "values": VALUES}
        return self.service.draft(context or self.lan(), **{**defaults, **fields})

    def asked(self, **fields: Any) -> CampaignView:
        view = self.drafted(**fields)
        self.service.attach_audience(self.lan(), view.campaign_id, self.audience().audience_id)
        return self.service.request_approval(self.lan(), view.campaign_id)

    def approve(self, view: CampaignView, context: Context | None = None, **fields: Any) -> CampaignView:
        digests = {"text_digest": view.text_digest, "audience_digest": view.audience_digest}
        return self.service.approve(context or self.minh(), view.campaign_id, **{**digests, **fields})


@pytest.fixture
def office(record: Record, database_url: str, clock: ManualClock) -> Iterator[Office]:
    engine = open_engine(database_url)
    create_tables(engine)
    chooser = language_chooser(("en", "zh-Hans", "vi"), {}, "en")
    audiences = Audiences(engine, Vault(engine, KEYS, clock), clock, RowChecker(chooser))
    yield Office(CampaignService(record, audiences, Templates()), audiences, clock)
    engine.dispose()


def test_the_way_of_a_campaign(office: Office, record: Record) -> None:
    view = office.asked(required_items=(*ORDER_790_ART_11, *PIPL_ART_57, *GDPR_ART_34), duties=("d1",))
    assert (view.status, view.recipients, view.languages) == ("awaiting_approval", 2, ("en", "zh-Hans"))
    approved = office.approve(view)
    assert (approved.status, approved.approved_by) == ("approved", "user:minh")
    started = office.service.start(office.lan(), view.campaign_id)
    assert started.status == "started"
    kinds = [type(event).kind for event in record.stream(view.campaign_id)]
    assert kinds == [
        "campaign.drafted",
        "campaign.audience-attached",
        "campaign.approval-requested",
        "campaign.approved",
        "campaign.started",
    ]


def test_nobody_who_wrote_it_may_approve(office: Office) -> None:
    """Author, reviser, whoever chose the audience, whoever asks; and no machine."""
    view = office.drafted(office.lan())
    office.service.revise_text(office.sofia(), view.campaign_id, VALUES)
    office.service.attach_audience(office.minh(), view.campaign_id, office.audience().audience_id)
    asked = office.service.request_approval(office.system(), view.campaign_id)
    for context in (office.lan(), office.sofia(), office.minh(), office.system()):
        with pytest.raises(Forbidden):
            office.approve(asked, context)
    with pytest.raises(Forbidden):
        office.approve(asked, ContextMaker(office.clock, "siem:wazuh")())
    assert office.approve(asked, ContextMaker(office.clock, "user:petra")()).status == "approved"


def test_an_author_cannot_wash_the_authorship_off_by_a_later_revision(office: Office) -> None:
    view = office.asked()
    office.service.revise_text(office.sofia(), view.campaign_id, VALUES)
    asked = office.service.request_approval(office.sofia(), view.campaign_id)
    with pytest.raises(Forbidden):
        office.approve(asked, office.lan())


@pytest.mark.parametrize("digest", ["text_digest", "audience_digest"])
def test_other_digests_than_asked_for_are_a_conflict(office: Office, digest: str) -> None:
    view = office.asked()
    with pytest.raises(Conflict) as caught:
        office.approve(view, **{digest: "sha256:other"})
    assert caught.value.errors[0].field == digest
    assert office.service.view(view.campaign_id).status == "awaiting_approval"


def test_a_change_voids_the_approval(office: Office) -> None:
    view = office.asked()
    office.approve(view)
    changed = {**VALUES, "cause": {**VALUES["cause"], "en": "Something else"}}
    revised = office.service.revise_text(office.lan(), view.campaign_id, changed)
    assert (revised.status, revised.approved_by) == ("draft", None)
    assert revised.text_digest != view.text_digest
    with pytest.raises(IllegalTransition):
        office.service.start(office.lan(), view.campaign_id)
    asked = office.service.request_approval(office.lan(), view.campaign_id)
    with pytest.raises(Conflict):
        office.approve(view)
    office.approve(asked)
    other = office.audience(CSV + b"Cy,,cy@example.com,en,GB\n")
    assert office.service.attach_audience(office.lan(), view.campaign_id, other.audience_id).status == "draft"


def test_a_notice_that_lacks_what_the_law_demands_needs_a_reason(office: Office) -> None:
    """Promise 7."""
    lacking = {name: value for name, value in VALUES.items() if name != "consequences"}
    view = office.asked(values=lacking, required_items=ORDER_790_ART_11)
    assert view.missing_items == ("harmful consequences",)
    with pytest.raises(InvalidInput) as caught:
        office.approve(view)
    assert "harmful consequences" in caught.value.errors[0].reason
    with pytest.raises(InvalidInput):
        office.approve(view, override_reason="   ")
    approved = office.approve(view, override_reason="The police asked us to wait with this")
    assert approved.override_reason == "The police asked us to wait with this"


def test_a_reason_is_not_recorded_where_nothing_was_overridden(office: Office) -> None:
    assert office.approve(office.asked(), override_reason="just in case").override_reason is None


def test_essentials_and_audience_come_before_the_request(office: Office) -> None:
    view = office.drafted(values={"organisation": "Acme"})
    with pytest.raises(IllegalTransition) as no_audience:
        office.service.request_approval(office.lan(), view.campaign_id)
    assert no_audience.value.errors[0].field == "audience_id"
    office.service.attach_audience(office.lan(), view.campaign_id, office.audience().audience_id)
    with pytest.raises(InvalidInput) as caught:
        office.service.request_approval(office.lan(), view.campaign_id)
    assert {fault.field for fault in caught.value.errors} == {
        f"values.{name}.{language}" for name in ("incident_summary", "contact_point") for language in ("en", "zh-Hans")
    }


def test_a_rejection_gives_its_reason_and_the_author_may_ask_again(office: Office) -> None:
    view = office.asked()
    rejected = office.service.reject(office.minh(), view.campaign_id, reason="Say what we did")
    assert (rejected.status, rejected.rejection) == ("rejected", "Say what we did")
    with pytest.raises(IllegalTransition):
        office.approve(view)
    with pytest.raises(InvalidInput):
        office.service.reject(office.minh(), office.asked().campaign_id, reason=" ")
    again = office.service.request_approval(office.lan(), view.campaign_id)
    assert office.approve(again).status == "approved"


def test_only_an_approved_campaign_starts_and_then_nothing_changes(office: Office) -> None:
    view = office.asked()
    with pytest.raises(IllegalTransition):
        office.service.start(office.lan(), view.campaign_id)
    office.approve(view)
    office.service.start(office.lan(), view.campaign_id)
    for command in (
        lambda: office.service.revise_text(office.lan(), view.campaign_id, VALUES),
        lambda: office.service.attach_audience(office.lan(), view.campaign_id, office.audience().audience_id),
        lambda: office.service.request_approval(office.lan(), view.campaign_id),
        lambda: office.service.reject(office.minh(), view.campaign_id, reason="late"),
        lambda: office.service.start(office.lan(), view.campaign_id),
    ):
        with pytest.raises(IllegalTransition):
            command()


def test_a_command_sent_twice_has_one_effect_and_one_answer(office: Office, record: Record) -> None:
    """Promise 4, for every command."""
    draft = office.lan()
    fields = {"incident_id": uuid4()}
    view = office.drafted(draft, **fields)
    assert office.drafted(draft, **fields) == view
    assert view.campaign_id == stable_id("campaign", draft.cause)
    audience = office.audience().audience_id
    campaign = view.campaign_id
    contexts = {name: office.lan() for name in ("attach", "ask", "start")} | {"approve": office.minh()}
    for name, command in (
        ("attach", lambda c: office.service.attach_audience(c, campaign, audience)),
        ("ask", lambda c: office.service.request_approval(c, campaign)),
        ("approve", lambda c: office.approve(office.service.view(campaign), c)),
        ("start", lambda c: office.service.start(c, campaign)),
    ):
        first = command(contexts[name])
        assert command(contexts[name]) == first, name
    assert len(list(record.stream(campaign))) == 5


def test_bad_input_changes_nothing(office: Office, record: Record) -> None:
    head = record.head()
    with pytest.raises(NotFound):
        office.drafted(template="nope")
    with pytest.raises(InvalidInput):
        office.drafted(values={"organisation": 7})
    with pytest.raises(NotFound):
        office.service.view(uuid4())
    with pytest.raises(NotFound):
        office.service.revise_text(office.lan(), uuid4(), VALUES)
    assert record.head() == head
    view = office.drafted()
    with pytest.raises(NotFound):
        office.service.attach_audience(office.lan(), view.campaign_id, uuid4())
    assert office.service.view(view.campaign_id).version == view.version


def _upgraded(office: Office, record: Record, root: Path, language: str) -> CampaignService:
    """A version whose words in one language are others."""
    whole = Path(__file__).parents[2] / "notifier/templates/personal-data-breach"
    shutil.copytree(whole, root / "personal-data-breach")
    words = root / "personal-data-breach" / language / "subject.txt.j2"
    words.write_text(words.read_text() + "!")
    return CampaignService(record, office.audiences, Templates(root))


def test_words_that_changed_since_the_approval_do_not_go_out(office: Office, record: Record, tmp_path: Path) -> None:
    """The digest covers the template's files: an upgrade between approval and start is noticed."""
    view = office.asked()
    office.approve(view)
    with pytest.raises(IllegalTransition):
        _upgraded(office, record, tmp_path, "zh-Hans").start(office.lan(), view.campaign_id)


def test_words_in_a_language_that_nobody_of_the_audience_reads_change_nothing(
    office: Office, record: Record, tmp_path: Path
) -> None:
    view = office.asked()
    office.approve(view)
    started = _upgraded(office, record, tmp_path, "vi").start(office.lan(), view.campaign_id)
    assert started.status == "started"


def test_preview_shows_an_invented_person(office: Office) -> None:
    view = office.asked()
    preview = office.service.preview(view.campaign_id, "zh-Hans")
    assert "张晓明" in preview.email.text
    assert preview.sms.segments > 1
    with pytest.raises(InvalidInput):
        office.service.preview(view.campaign_id, "fr")
    with pytest.raises(InvalidInput, match="contact_point"):
        office.service.preview_values("personal-data-breach", {"organisation": "Acme"}, "en")


def test_no_personal_data_in_campaign_events(office: Office, record: Record) -> None:
    office.approve(office.asked())
    stored = b"".join(
        stored.state
        for stored in record.recorder.select_notifications(start=1, limit=1000)  # type: ignore[misc]
    )
    for secret in (b"Ann", b"13800138000", b"bo@example"):
        assert secret not in stored
