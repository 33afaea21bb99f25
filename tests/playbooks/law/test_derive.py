"""From facts to duties: what is due, possible, waiting or exempt, by when, and why."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from incidents.errors import InvalidInput
from incidents.facts import Condition, ConditionContext, Facts, OrganisationProfile, Outcome
from incidents.grading.grade import grade
from playbooks.law import Duty, DutyStatus, Party, derive, load_law, standard_calendars
from playbooks.law.answer import duties_json
from playbooks.law.pack import Occasion, Status
from tests.incidents.facts.test_facts import DOCUMENTS
from tests.playbooks.law.samples import chain

AT = datetime.fromisoformat("2026-11-20T12:00:00+08:00")
CALENDARS = standard_calendars()
BREACH = {
    "countries": ["CN", "DE"],
    "provinces": ["CN-HN"],
    "roles": ["controller", "network_operator"],
    "event_kinds": ["personal_data_breach"],
    "data_classes": ["personal"],
    "nature": ["confidentiality"],
    "persons_affected": 200,
    "aware_at": "2026-11-20T09:05:00+08:00",
    "discovered_at": "2026-11-20T09:00:00+08:00",
}


def duties(facts: dict[str, Any], **more: Any) -> list[Duty]:
    law = more.pop("law", None) or load_law()
    return derive(Facts.parse(facts), law, CALENDARS, at=more.pop("at", AT), **more)


def one(found: Iterable[Duty], rule: str) -> Duty:
    matching = [duty for duty in found if duty.rule == rule]
    assert len(matching) == 1, [duty.id for duty in matching]
    return matching[0]


def test_three_laws_speak_at_once_each_in_its_own_zone() -> None:
    found = duties(BREACH)
    gdpr = one(found, "eu-gdpr-33-1-authority")
    assert (gdpr.status, gdpr.time_zone, gdpr.jurisdiction) == (DutyStatus.DUE, "Europe/Berlin", "EU")
    assert gdpr.strict_due
    assert gdpr.legal_end
    assert gdpr.clock.at
    assert gdpr.strict_due.isoformat() == "2026-11-23T02:05:00+01:00"
    assert gdpr.legal_end.isoformat() == "2026-11-23T03:00:00+01:00"
    pipl = one(found, "cn-pipl-57-individuals")
    assert pipl.clock.at
    assert pipl.reminder_at
    assert (pipl.status, pipl.strict_due, pipl.legal_end) == (DutyStatus.DUE, None, None)
    assert pipl.clock.at.isoformat() == "2026-11-20T09:00:00+08:00"
    assert pipl.reminder_at.isoformat() == "2026-11-20T11:00:00+08:00"
    assert [item.id for item in pipl.contents] == [
        "kinds_cause_and_harm",
        "measures_taken_and_advice",
        "contact_of_processor",
    ]
    hunan = [duty for duty in found if duty.rule == "cn-hn-26-data-incident-authority"]
    assert [duty.recipient.role for duty in hunan] == ["cn-hn.cyberspace_administration", "cn-hn.public_security"]
    assert len({duty.id for duty in found}) == len(found)


def test_possible_duties_come_first_and_say_what_would_settle_them() -> None:
    found = duties(BREACH)
    statuses = [duty.status for duty in found]
    assert statuses == sorted(statuses, key=list(DutyStatus).index)
    report = one(found, "cn-measures-4-other-4h")
    assert report.status is DutyStatus.POSSIBLE
    assert report.strict_due is None
    assert report.earliest_deadline is not None
    assert report.earliest_deadline.isoformat() == "2026-11-20T13:05:00+08:00"
    assert set(report.settle_by) == {
        "direct_loss",
        "provinces_affected",
        "prefectures_affected",
        "population_share_percent_province",
        "population_share_percent_prefecture",
    }
    assert one(found, "eu-gdpr-34-individuals").settle_by == ("risk_to_persons",)
    settled = duties(
        BREACH
        | {"direct_loss": {"CNY": 0}, "provinces_affected": 0, "prefectures_affected": 0, "risk_to_persons": "risk"}
    )
    assert not [duty for duty in settled if duty.rule in ("cn-measures-4-other-4h", "eu-gdpr-34-individuals")]


def test_an_unknown_exemption_leaves_the_duty_due_and_a_certain_one_lifts_it() -> None:
    due = one(duties(BREACH), "eu-gdpr-33-1-authority")
    assert due.status is DutyStatus.DUE
    assert [(e.id, e.holds, e.settle_by) for e in due.exemptions] == [("risk_unlikely", None, ("risk_to_persons",))]
    exempt = one(duties(BREACH | {"risk_to_persons": "unlikely"}), "eu-gdpr-33-1-authority")
    assert (exempt.status, exempt.strict_due, exempt.exemptions[0].holds) == (DutyStatus.EXEMPT, None, True)


def test_a_clock_that_has_not_started_gives_no_date() -> None:
    facts = {key: value for key, value in BREACH.items() if not key.endswith("_at")}
    waiting = one(duties(facts), "eu-gdpr-33-1-authority")
    assert (waiting.status, waiting.clock.at, waiting.strict_due) == (DutyStatus.WAITING_FOR_CLOCK, None, None)
    assert waiting.clock.event == "aware"


def test_an_assumed_clock_is_said_to_be_assumed() -> None:
    facts = {key: value for key, value in BREACH.items() if key != "discovered_at"}
    duty = one(duties(facts), "cn-pipl-57-authority")
    assert duty.clock.assumed == "aware"
    assert any(reason.kind == "assumption" for reason in duty.why)
    assert one(duties(BREACH), "cn-pipl-57-authority").clock.assumed is None


def test_awareness_is_not_assumed_from_discovery_under_the_gdpr() -> None:
    facts = {key: value for key, value in BREACH.items() if key != "aware_at"}
    assert one(duties(facts), "eu-gdpr-33-1-authority").status is DutyStatus.WAITING_FOR_CLOCK


def test_the_profile_joins_and_gives_the_zone() -> None:
    profile = OrganisationProfile.parse(
        {
            "name": "Xiang Retail",
            "roles": ["controller", "cii_operator"],
            "time_zone": "Asia/Shanghai",
            "establishments": [
                {"place": "CN-HN", "main": True},
                {"place": "ES", "time_zone": "Atlantic/Canary"},
            ],
        }
    )
    facts = {"persons_affected": 1_000_000, "event_kinds": ["personal_data_breach"], "aware_at": BREACH["aware_at"]}
    found = duties(facts, profile=profile)
    hour = [duty for duty in found if duty.rule == "cn-measures-4-cii-1h"]
    assert [duty.recipient.role for duty in hour] == ["cn.cii_protection_department", "cn.public_security"]
    assert {duty.strict_due.isoformat() for duty in hour if duty.strict_due} == {"2026-11-20T10:05:00+08:00"}
    assert one(found, "eu-gdpr-33-1-authority").time_zone == "Atlantic/Canary"
    assert one(found, "cn-hn-21-plan").status is DutyStatus.DUE


@pytest.mark.parametrize(
    ("facts", "zone"),
    [
        ({"countries": ["FR"]}, "Europe/Paris"),
        ({"countries": ["CN"], "persons_by_country": {"PL": 3, "US": 9}}, "Europe/Warsaw"),
        ({"countries": ["FR", "PL"]}, "Europe/Brussels"),
        ({"countries": ["FR", "PL"], "main_establishment": "PL"}, "Europe/Warsaw"),
        ({"countries": ["FR", "CN"], "main_establishment": "CN"}, "Europe/Paris"),
    ],
)
def test_the_seat_of_the_authority(facts: dict[str, Any], zone: str) -> None:
    known = facts | {"roles": ["controller"], "event_kinds": ["personal_data_breach"]}
    assert one(duties(known), "eu-gdpr-33-1-authority").time_zone == zone


def test_a_level_decided_by_a_person_goes_before_the_computed_one() -> None:
    assert one(duties(BREACH), "cn-measures-4-other-4h").status is DutyStatus.POSSIBLE
    raised = one(duties(BREACH, grades={"cn-2025": "relatively_major"}), "cn-measures-4-other-4h")
    assert raised.status is DutyStatus.DUE
    assert any("by a person" in reason.text["en"] for reason in raised.why)
    lowered = duties(BREACH | {"persons_affected": 1_000_000}, grades={"cn_2025": "general"})
    assert not [duty for duty in lowered if duty.rule == "cn-measures-4-other-4h"]


def test_duties_of_others_are_left_out_unless_asked_for() -> None:
    facts = BREACH | {
        "persons_affected": 10_000_000,
        "received_at": BREACH["aware_at"],
        "detected_by": "service_provider",
    }
    assert {duty.party for duty in duties(facts)} == {Party.OPERATOR}
    others = duties(facts, parties=frozenset({Party.AUTHORITY, Party.PROVIDER}))
    assert {duty.rule for duty in others} == {"cn-measures-4-other-escalation-1h", "cn-measures-provider-duty"}
    public = duties(facts, parties=frozenset(Party), statuses=frozenset(Status))
    assert one(public, "cn-measures-public-reporting").status is DutyStatus.DUE


ENTITY = {
    "countries": ["DE"],
    "roles": ["insurer"],
    "serious_incident": True,
    "aware_at": "2026-09-11T20:00:00+02:00",
    "classified_at": "2026-09-11T22:00:00+02:00",
    "discovered_at": "2026-09-11T20:00:00+02:00",
}


def test_relief_is_only_counted_on_when_it_certainly_applies() -> None:
    insurer = one(duties(ENTITY, law=chain()), "zz-initial")
    assert insurer.strict_due
    assert insurer.legal_end
    assert insurer.strict_due.isoformat() == "2026-09-12T02:00:00+02:00"
    assert insurer.legal_end.isoformat() == "2026-09-14T12:00:00+02:00"
    bank = one(duties(ENTITY | {"roles": ["bank"]}, law=chain()), "zz-initial")
    assert bank.legal_end == bank.strict_due


def test_stages_wait_for_the_submission_before_them() -> None:
    law = chain()
    assert one(duties(ENTITY, law=law), "zz-intermediate").status is DutyStatus.WAITING_FOR_CLOCK
    sent = {"zz-initial": datetime.fromisoformat("2026-09-10T14:00:00+02:00")}
    intermediate = one(duties(ENTITY | {"roles": ["bank"]}, law=law, submissions=sent), "zz-intermediate")
    assert intermediate.strict_due
    assert intermediate.clock.event == "submitted:zz-initial"
    assert intermediate.strict_due.isoformat() == "2026-09-13T14:00:00+02:00"
    assert one(duties(ENTITY, law=law, submissions=sent), "zz-final").status is DutyStatus.WAITING_FOR_CLOCK
    sent["zz-intermediate"] = datetime.fromisoformat("2026-01-30T10:00:00+01:00")
    final = one(duties(ENTITY, law=law, submissions=sent), "zz-final")
    assert final.strict_due
    assert final.legal_end
    assert final.strict_due.isoformat() == "2026-03-01T00:00:00+01:00"
    assert final.legal_end.isoformat() == "2026-03-02T12:00:00+01:00"
    declaration = one(duties(ENTITY, law=law, submissions=sent), "zz-declaration")
    assert declaration.strict_due
    assert declaration.strict_due.isoformat() == "2026-03-05T00:00:00+01:00", "three working days after 28 February"


def test_a_submission_made_elsewhere_is_a_fact() -> None:
    facts = ENTITY | {"initial_submitted_at": "2026-09-10T14:00:00+02:00"}
    duty = one(duties(facts, law=chain()), "zz-intermediate")
    assert (duty.status, duty.clock.assumed) == (DutyStatus.DUE, "initial_submitted")


def test_a_recurring_duty_moves_with_each_submission_and_ends() -> None:
    law = chain()
    first = one(duties(ENTITY, law=law), "zz-every-two-hours")
    assert first.strict_due
    assert first.recurs
    assert first.strict_due.isoformat() == "2026-09-11T22:00:00+02:00"
    sent = {"zz-every-two-hours": datetime.fromisoformat("2026-09-11T21:30:00+02:00")}
    second = one(duties(ENTITY, law=law, submissions=sent), "zz-every-two-hours")
    assert second.strict_due
    assert second.strict_due.isoformat() == "2026-09-11T23:30:00+02:00"
    over = duties(ENTITY | {"handled_at": "2026-09-11T22:10:00+02:00"}, law=law, submissions=sent)
    assert not [duty for duty in over if duty.rule == "zz-every-two-hours"]


def test_the_end_of_the_year_of_discovery() -> None:
    duty = one(duties(ENTITY, law=chain()), "zz-year-end")
    assert duty.strict_due
    assert duty.ends_with_day
    assert duty.strict_due.isoformat() == "2027-03-02T00:00:00+01:00", "the whole of 1 March"


def test_only_law_in_force_at_the_clock_is_applied() -> None:
    law = chain()
    names = {duty.rule for duty in duties(ENTITY, law=law)}
    assert "zz-old-law" not in names
    assert "zz-proposed" not in names
    assert "zz-standing" not in names
    early = ENTITY | {"aware_at": "2026-06-30T23:59:00+02:00"}
    assert one(duties(early, law=law), "zz-old-law").status is DutyStatus.DUE, "judged by the law of its own day"
    before = ENTITY | {"aware_at": "2025-12-31T23:59:00+01:00"}
    assert "zz-old-law" not in {duty.rule for duty in duties(before, law=law)}
    unstarted = {key: value for key, value in ENTITY.items() if key != "aware_at"}
    assert "zz-old-law" in {d.rule for d in duties(unstarted, law=law, at=datetime(2026, 6, 1, tzinfo=UTC))}
    assert "zz-old-law" not in {d.rule for d in duties(unstarted, law=law, at=AT)}
    everything = duties(ENTITY, law=law, statuses=frozenset(Status), occasions=frozenset(Occasion))
    assert {"zz-proposed", "zz-standing"} <= {duty.rule for duty in everything}


def test_reminders_follow_the_pack_then_the_yardstick_then_the_word() -> None:
    found = duties(ENTITY, law=chain())
    own, yardstick = one(found, "zz-own-reminder"), one(found, "zz-yardstick")
    assert own.reminder_at
    assert yardstick.reminder_at
    assert own.reminder_at.isoformat() == "2026-09-11T20:30:00+02:00"
    assert yardstick.reminder_at.isoformat() == "2026-09-14T20:00:00+02:00"
    assert own.due == own.reminder_at


def test_content_items_that_certainly_do_not_apply_are_left_out() -> None:
    assert [c.id for c in one(duties(ENTITY, law=chain()), "zz-initial").contents] == ["what", "late"]
    in_time = duties(ENTITY | {"notified_in_time": True}, law=chain())
    assert [c.id for c in one(in_time, "zz-initial").contents] == ["what"]


def test_every_duty_explains_itself_in_both_languages() -> None:
    for duty in duties(BREACH):
        kinds = [reason.kind for reason in duty.why]
        assert {"rule", "bound", "trigger", "clock", "source"} <= set(kinds), duty.id
        assert all(reason.text["en"].strip() and reason.text["zh"].strip() for reason in duty.why)
    why = " ".join(r.text["en"] for r in one(duties(BREACH), "eu-gdpr-33-1-authority").why)
    for part in ("article 33", "roles", "Fri 20 Nov 2026 02:05", "72 hours", "1182/71", "eu-gdpr 2026"):
        assert part in why


def test_a_moment_without_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="offset"):
        duties(BREACH, at=datetime(2026, 11, 20))  # noqa: DTZ001 - that is the fault


def test_the_answer_of_the_command() -> None:
    answer = duties_json(BREACH, AT)
    wanted = {
        "rule", "instrument", "article", "jurisdiction", "recipient", "stage", "status", "clock",
        "strict_due", "legal_end", "time_zone", "contents", "why",
    }  # fmt: skip
    assert all(wanted <= set(duty) for duty in answer)
    gdpr = next(duty for duty in answer if duty["rule"] == "eu-gdpr-33-1-authority")
    assert gdpr["strict_due"] == "2026-11-23T02:05:00+01:00"
    assert gdpr["clock"] == {"event": "aware", "at": "2026-11-20T02:05:00+01:00", "assumed": None}
    assert gdpr["recipient"]["kind"] == "authority"
    assert [Duty.model_validate(duty) for duty in answer] == duties(BREACH)
    with pytest.raises(InvalidInput):
        duties_json({"persons": 1}, AT)


@given(DOCUMENTS)
@hypothesis_settings(max_examples=60, deadline=None)
def test_any_facts_give_the_same_duties_twice_and_never_fail(document: dict[str, Any]) -> None:
    facts = Facts.parse(document)
    law = load_law()
    first = derive(facts, law, CALENDARS, at=AT)
    assert first == derive(Facts.parse(facts.known()), law, CALENDARS, at=AT)
    for duty in first:
        assert (duty.strict_due is None) or duty.status is DutyStatus.DUE
        assert (duty.status is DutyStatus.POSSIBLE) == bool(duty.settle_by)
        if duty.strict_due and duty.legal_end and duty.clock.at:
            assert duty.clock.at <= duty.strict_due <= duty.legal_end


@given(DOCUMENTS, DOCUMENTS)
@hypothesis_settings(max_examples=40, deadline=None)
def test_learning_more_never_makes_a_duty_out_of_nothing(known: dict[str, Any], learnt: dict[str, Any]) -> None:
    """A rule that certainly does not apply keeps not applying while only unknown facts become known."""
    times = {name for name in {*known, *learnt} if name.endswith("_at")}
    before = Facts.parse({name: value for name, value in known.items() if name not in times})
    new = {name: value for name, value in learnt.items() if name not in known and name not in times}
    after = before.revise(new)
    law = load_law()
    had = {duty.id for duty in derive(before, law, CALENDARS, at=AT)}
    assert {duty.id for duty in derive(after, law, CALENDARS, at=AT)} <= had


def test_a_verdict_is_remembered_by_what_the_condition_can_tell_apart() -> None:
    """Numbers on either side of a threshold, and exactly on it, get their own verdict however often it was asked."""
    condition = Condition.compile(
        "facts.persons_affected >= 500 && ('US-TX' in facts.persons_by_province && "
        "facts.persons_by_province['US-TX'] > 250) || facts.malicious"
    )

    def verdict(**facts: Any) -> Outcome:
        return condition.evaluate(ConditionContext(Facts().revise(facts))).outcome

    expected: dict[tuple[int, int], Outcome] = {}
    for persons in (0, 499, 500, 501, 10**9):
        for texans in (0, 250, 251, 10**9):
            expected[persons, texans] = Outcome.TRUE if persons >= 500 and texans > 250 else Outcome.FALSE
    for _ in range(2):
        for (persons, texans), outcome in expected.items():
            known = {"persons_affected": persons, "persons_by_province": {"US-TX": texans}}
            assert verdict(**known, malicious=False) is outcome
            assert verdict(**known, malicious=True) is Outcome.TRUE
            assert verdict(**known) is (Outcome.TRUE if outcome is Outcome.TRUE else Outcome.UNKNOWN)
    assert len(condition._verdicts) < len(expected) * 3, "remembered by threshold, not by number"


@given(DOCUMENTS)
@hypothesis_settings(max_examples=40, deadline=None)
def test_what_is_remembered_is_what_evaluating_anew_says(document: dict[str, Any]) -> None:
    law = load_law()
    facts = Facts.parse(document)
    grades = {s.key: grade(s, facts).rank_range(s) for s in law.schemes.values()}
    levels = {s.key: s.ranks() for s in law.schemes.values()}
    context = ConditionContext(facts, grades=grades, levels=levels)
    for _, rule in law.rules():
        for condition in (rule.bound_condition, rule.trigger_condition):
            assert condition.evaluate(context) == condition._evaluated(context), condition.text
