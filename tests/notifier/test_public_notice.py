"""The decisions behind a public notice, and where its versions hang."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from incidents.clock import ManualClock
from incidents.errors import Conflict, Forbidden, IllegalTransition, InvalidInput, NotFound, TocsinError
from incidents.record import Context, Registry, open_record
from incidents.record.database import metadata, open_engine, reading
from notifier.campaigns.campaign import Demand
from notifier.campaigns.events import EVENTS as CAMPAIGN_EVENTS
from notifier.public_notice.boards import DrillBoard, PublicBoard
from notifier.public_notice.events import EVENTS
from notifier.public_notice.service import NoticesToPublic
from notifier.public_notice.substitute import SubstituteRule, rules_that_hold
from notifier.public_notice.tables import public_notice_states, public_notice_versions
from notifier.templates import Templates
from tests.notifier.house import APPROVER, AUTHOR, VALUES, database_address
from tests.servers import emptied_database

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
INCIDENT = UUID(int=77)


class Desk:
    """Public notices on a fresh database."""

    def __init__(
        self, folder: Path, demand: Demand | Callable[[], Demand] = Demand(), address: str | None = None
    ) -> None:
        address = address or database_address(folder)
        self.engine = open_engine(address)
        metadata.create_all(self.engine)
        self.record = open_record(address, Registry([*CAMPAIGN_EVENTS, *EVENTS]))
        self.record.__enter__()
        self.clock = ManualClock(NOON)
        self.board = PublicBoard(self.engine, public_url="https://notify.harbour.example")
        self.notices = NoticesToPublic(
            self.engine,
            self.record,
            Templates(),
            key=bytes(range(32)),
            board=self.board,
            drill_board=DrillBoard(),
            demand=lambda _incident: demand if isinstance(demand, Demand) else demand(),
        )
        self.follower = self.notices.follower()

    def context(self, actor: str = AUTHOR) -> Context:
        return Context.of_command(actor, self.clock)

    def draft(self, **more: Any) -> UUID:
        given = {"incident_id": INCIDENT, "template": "personal-data-breach", "values": VALUES, **more}
        return self.notices.draft(self.context(), **given).notice_id

    def publish(self, notice_id: UUID, **more: Any) -> None:
        asked = self.notices.request_approval(self.context(), notice_id)
        self.notices.publish(self.context(APPROVER), notice_id, text_digest=asked.text_digest, **more)
        self.follower.drain()

    def close(self) -> None:
        self.record.__exit__(None, None, None)
        self.engine.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def desk(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    with emptied_database(request.param, tmp_path) as address:
        desk = Desk(tmp_path, address=address)
        yield desk
        desk.close()


def test_nobody_can_read_it_before_a_second_person_publishes_it(desk: Desk) -> None:
    notice = desk.draft()
    asked = desk.notices.request_approval(desk.context(), notice)
    desk.follower.drain()
    assert desk.board.find(asked.code) is None
    for actor, error in ((AUTHOR, Forbidden), ("system:tocsin", Forbidden)):
        with pytest.raises(error):
            desk.notices.publish(desk.context(actor), notice, text_digest=asked.text_digest)
    with pytest.raises(Conflict):
        desk.notices.publish(desk.context(APPROVER), notice, text_digest="sha256:0")

    desk.notices.publish(desk.context(APPROVER), notice, text_digest=asked.text_digest)
    desk.follower.drain()
    found = desk.board.find(asked.code.lower())

    assert found is not None
    assert set(found.latest.words) == {"en", "zh-Hans", "vi"}
    assert found.latest.words["en"].subject.startswith("Harbour Clinic: public notice")
    assert "reference" not in found.latest.words["en"].text
    assert desk.board.address_of(found.code) == asked.address


def test_a_correction_is_a_new_version_and_the_old_one_stays(desk: Desk) -> None:
    notice = desk.draft()
    desk.publish(notice)
    first = desk.notices.view(notice)
    with pytest.raises(InvalidInput, match="corrected"):
        desk.notices.revise(desk.context(), notice, {**VALUES, "occurred_on": "2026-11-11"}, {})
    desk.notices.revise(
        desk.context(), notice, {**VALUES, "occurred_on": "2026-11-11"}, {"en": "The day of the incident was wrong."}
    )
    desk.clock.advance(timedelta(hours=1))
    assert len(desk.board.find(first.code).versions) == 1  # type: ignore[union-attr]
    desk.publish(notice)

    found = desk.board.find(first.code)
    assert found is not None
    assert [one.number for one in found.versions] == [1, 2]
    assert "12 November" in found.versions[0].words["en"].text
    assert "11 November" in found.latest.words["en"].text
    assert found.latest.correction == {"en": "The day of the incident was wrong."}
    assert (found.latest.published_at - found.versions[0].published_at).total_seconds() == 3600


def test_words_made_from_an_older_version_are_refused_after_one_look(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    notice = desk.draft()
    seen = desk.notices.view(notice).version
    once = desk.context()
    desk.notices.revise(once, notice, {**VALUES, "occurred_on": "2026-11-11"}, {}, seen=seen)
    again = desk.notices.revise(once, notice, VALUES, {}, seen=seen)
    assert again.values["occurred_on"] == "2026-11-11", "the same command again has its first effect"

    looks, load = list[UUID](), desk.record.load
    monkeypatch.setattr(desk.record, "load", lambda kind, of: looks.append(of) or load(kind, of))
    with pytest.raises(Conflict, match="Somebody changed the public notice meanwhile") as refused:
        desk.notices.revise(desk.context(), notice, VALUES, {}, seen=seen)
    assert [fault.field for fault in refused.value.errors] == ["version"]
    assert looks == [notice], "it would be refused again"


def test_an_approval_covers_the_correction_too(desk: Desk) -> None:
    notice = desk.draft()
    desk.publish(notice)
    desk.notices.revise(desk.context(), notice, VALUES, {"en": "One."})
    asked = desk.notices.request_approval(desk.context(), notice)
    desk.notices.revise(desk.context(), notice, VALUES, {"en": "Another."})
    again = desk.notices.request_approval(desk.context(), notice)

    assert asked.text_digest != again.text_digest
    with pytest.raises(Conflict):
        desk.notices.publish(desk.context(APPROVER), notice, text_digest=asked.text_digest)


def test_what_the_law_demands_must_be_in_it_or_overridden_with_a_reason(tmp_path: Path) -> None:
    desk = Desk(tmp_path, Demand(duties=("d1",), items=("likely_consequences", "toll_free_number")))
    notice = desk.draft()
    asked = desk.notices.request_approval(desk.context(), notice)
    assert asked.missing_items == ("toll_free_number",)
    with pytest.raises(InvalidInput, match="lacks content"):
        desk.notices.publish(desk.context(APPROVER), notice, text_digest=asked.text_digest)
    done = desk.notices.publish(
        desk.context(APPROVER), notice, text_digest=asked.text_digest, override_reason="The number follows."
    )
    desk.close()

    assert (done.status.value, done.duties) == ("published", ("d1",))


def test_a_duty_that_arises_later_is_told_by_the_next_version(tmp_path: Path) -> None:
    now = [Demand(duties=("d1",), items=("likely_consequences",))]
    desk = Desk(tmp_path, lambda: now[0])
    notice = desk.draft()

    def wrote() -> list[bool]:
        asked = desk.record.read(0, 100, kinds=["public.notice-approval-requested"])
        return ["duties" in one.event.model_dump() for one in asked]

    now[0] = Demand(duties=("d1", "d2"), items=("likely_consequences",))
    assert desk.notices.view(notice).untold_duties == ("d2",)
    desk.publish(notice)
    assert wrote() == [True]
    assert desk.notices.view(notice).duties == ("d1", "d2"), "what arose while it was prepared is told at once"

    now[0] = Demand(duties=("d3",), items=("likely_consequences",))
    assert desk.notices.view(notice).untold_duties == ("d3",)
    desk.notices.revise(desk.context(), notice, VALUES, {"en": "Something was added."})
    desk.publish(notice)
    told: list[Any] = [one.event for one in desk.record.read(0, 100, kinds=["public.notice-published"])]
    assert [one.duties for one in told] == [("d1", "d2"), ("d1", "d2", "d3")]
    assert desk.notices.view(notice).untold_duties == ()
    desk.notices.revise(desk.context(), notice, VALUES, {"en": "A word was mended."})
    desk.publish(notice)
    assert wrote() == [True, True, False], "a version that does not know the field reads the last one too"
    desk.close()


def test_a_drill_is_published_for_nobody(desk: Desk) -> None:
    notice = desk.draft(drill=True)
    desk.publish(notice)

    assert desk.notices.view(notice).status.value == "published"
    assert desk.board.find(desk.notices.view(notice).code) is None
    assert desk.board.newest() == ()
    with reading(desk.engine) as connection:
        assert connection.execute(select(public_notice_versions)).first() is None
        assert connection.execute(select(public_notice_states.c.drill)).scalar_one() is True


def test_the_board_of_drills_holds_nothing_that_anybody_could_read() -> None:
    assert vars(DrillBoard()) == {}


def test_rows_are_made_anew_from_the_record_and_never_twice(desk: Desk) -> None:
    notice = desk.draft()
    desk.publish(notice)
    from notifier.public_notice.notice import NoticeToPublic

    known = desk.record.load(NoticeToPublic, notice)
    desk.board.put(known)
    desk.board.put(known)

    assert len(desk.board.of(notice).versions) == 1  # type: ignore[union-attr]


def test_a_persons_contact_is_refused_in_the_words_and_in_corrections(desk: Desk) -> None:
    with pytest.raises(InvalidInput):
        desk.draft(values={**VALUES, "cause": {"en": "Ask Li Na, li.na@example.com"}})
    notice = desk.draft()
    desk.publish(notice)
    with pytest.raises(TocsinError):
        desk.notices.revise(desk.context(), notice, VALUES, {"en": "Ask li.na@example.com"})


def test_without_words_in_any_language_it_cannot_be_put_before_anybody(desk: Desk) -> None:
    notice = desk.draft(values={"organisation": {"en": "Harbour Clinic"}})

    with pytest.raises(InvalidInput) as refused:
        desk.notices.request_approval(desk.context(), notice)
    assert "values.incident_summary.en" in [fault.field for fault in refused.value.errors]


def test_a_suggestion_is_taken_up_or_dismissed_by_a_person_only(desk: Desk) -> None:
    from notifier.campaigns.campaign import Campaign

    campaign = Campaign(uuid4())
    campaign.draft(
        desk.context(),
        incident_id=INCIDENT,
        template="personal-data-breach",
        template_version="1",
        values=VALUES,
        duties=("d1",),
    )
    desk.record.commit(campaign)
    suggested = desk.notices.suggest(desk.context(), campaign.id, recipients=100, unreached=12, rules=("us-hipaa",))
    assert desk.notices.suggest(desk.context(), campaign.id, recipients=9, unreached=9, rules=()) == suggested
    desk.follower.drain()
    (entry,) = desk.notices.of_incident(INCIDENT)
    assert (entry.status.value, entry.unreached) == ("suggested", 12)
    with pytest.raises(IllegalTransition):
        desk.notices.request_approval(desk.context(), suggested)
    with pytest.raises(Forbidden):
        desk.notices.dismiss(desk.context("system:tocsin"), suggested, reason="No.")

    dismissed = desk.notices.dismiss(desk.context(), suggested, reason="Letters go out instead.")
    assert (dismissed.status.value, dismissed.reason) == ("dismissed", "Letters go out instead.")
    given: dict[str, Any] = {"template": "personal-data-breach", "values": VALUES}
    with pytest.raises(InvalidInput, match="another incident"):
        desk.notices.draft(desk.context(), incident_id=uuid4(), notice_id=suggested, **given)
    with pytest.raises(NotFound, match="no suggestion"):
        desk.notices.draft(desk.context(), incident_id=INCIDENT, notice_id=uuid4(), **given)
    drafted = desk.notices.draft(desk.context(), incident_id=INCIDENT, notice_id=suggested)
    assert (drafted.status.value, drafted.values) == ("draft", VALUES)
    assert drafted.campaign_id == campaign.id


@pytest.mark.parametrize(
    ("recipients", "unreached", "held"),
    [
        (100, 9, ()),
        (100, 10, ("ten",)),
        (39, 9, ("share",)),
        (500_001, 0, ("many",)),
        (500_000, 0, ()),
        (0, 0, ()),
    ],
)
def test_rules_call_for_it_from_their_own_number_on(recipients: int, unreached: int, held: tuple[str, ...]) -> None:
    rules = (
        SubstituteRule("ten", unreached=10),
        SubstituteRule("share", unreached_share=0.2),
        SubstituteRule("many", affected_over=500_000),
    )

    assert rules_that_hold(rules, recipients, unreached) == held
