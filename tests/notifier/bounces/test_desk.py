"""What comes back moves a delivery only with a proof that it is about it, once, and forward only."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incidents.errors import InvalidInput
from notifier.bounces.desk import BounceDesk, BounceResult
from notifier.channels.return_path import ReturnPaths
from notifier.deliveries import counters
from tests.notifier.bounces.desk import ADDRESS, MAILBOX, SECRET, Desk

BOUNCED = [("email", "undelivered", "550 5.1.1"), ("sms", "planned", None)]


def test_a_bounce_fails_the_delivery_and_the_next_channel_is_tried(desk: Desk) -> None:
    desk.told()
    assert desk.bounces.accept(desk.report()) is BounceResult.MOVED
    assert desk.attempts() == BOUNCED
    counts = counters(desk.engine, desk.campaign)
    assert counts is not None
    assert (counts["accepted"], counts["open"]) == (0, 1)
    (noted,) = desk.noted()
    assert (noted.status, noted.meaning, noted.evidence) == ("failed 5.1.1", "permanent", "header")
    assert [one.reason for one in desk.suppressions.of(ADDRESS)] == ["hard-bounce"]


def test_the_same_report_again_has_no_second_effect(desk: Desk) -> None:
    desk.told()
    raw = desk.report()
    assert desk.bounces.accept(raw) is BounceResult.MOVED
    assert desk.bounces.accept(raw) is BounceResult.DUPLICATE
    assert desk.bounces.accept(desk.report()) is BounceResult.DUPLICATE, "another copy, the same news"
    assert desk.attempts() == BOUNCED
    assert len(desk.noted()) == 1
    assert len(desk.suppressions.of(ADDRESS)) == 1


@pytest.mark.parametrize(
    "sender",
    [
        "incident@harbour.example",
        "b+aaaaaaaaaaaaaaaaaaaaaaaaaa.aaaaaaaaaaaaaaaa@bounces.harbour.example",
        "b+nothing@bounces.harbour.example",
        "",
    ],
)
def test_without_proof_nothing_happens(desk: Desk, sender: str) -> None:
    desk.told()
    result = desk.bounces.accept(desk.report(sender=sender or "x@y.example"))
    assert result in {BounceResult.UNPROVEN, BounceResult.FORGED}
    assert desk.attempts() == [("email", "accepted", None)], "the Message-ID in it is right, and proves nothing"
    assert desk.noted() == []
    assert desk.suppressions.of(ADDRESS) == ()
    assert desk.bounces.counts[result.value] == 1, "but it is counted"


def test_the_proof_of_another_secret_is_none(desk: Desk) -> None:
    desk.told()
    forged = ReturnPaths(MAILBOX, b"another-secret-0").sender(desk.delivery).decode()
    assert desk.bounces.accept(desk.report(sender=forged)) is BounceResult.FORGED
    assert desk.attempts() == [("email", "accepted", None)]


def test_the_name_in_the_report_proves_it_where_the_address_was_lost(desk: Desk) -> None:
    desk.told()
    name = b"Original-Envelope-Id: " + desk.paths.name(desk.delivery)
    raw = desk.report(sender="someone@harbour.example").replace(b"Reporting-MTA:", name + b"\nReporting-MTA:")
    assert desk.bounces.accept(raw) is BounceResult.MOVED
    assert desk.noted()[0].evidence == "envelope-id"


def test_the_envelope_recipient_proves_it(desk: Desk) -> None:
    desk.told()
    raw = desk.report(sender="someone@harbour.example")
    sent_to = desk.paths.sender(desk.delivery).decode().upper()
    assert desk.bounces.accept(raw, sent_to=sent_to) is BounceResult.MOVED, "some servers change the case"
    assert desk.noted()[0].evidence == "envelope"


def test_a_delay_is_noted_only(desk: Desk) -> None:
    desk.told()
    assert desk.bounces.accept(desk.report("4.4.1", action="delayed")) is BounceResult.NOTED
    assert desk.attempts() == [("email", "accepted", None)]
    assert desk.bounces.accept(desk.report()) is BounceResult.MOVED, "and then it failed"
    assert desk.attempts() == BOUNCED


@pytest.mark.parametrize(("status", "suppressed"), [("5.1.1", True), ("5.2.2", False), ("5.7.1", False)])
def test_only_what_is_the_addresss_own_fault_suppresses_it(desk: Desk, status: str, suppressed: bool) -> None:
    desk.told()
    assert desk.bounces.accept(desk.report(status)) is BounceResult.MOVED
    assert bool(desk.suppressions.of(ADDRESS)) is suppressed


def test_of_two_final_states_the_first_stays(desk: Desk) -> None:
    desk.told()
    assert desk.bounces.accept(desk.report("2.1.5", action="delivered")) is BounceResult.MOVED
    assert desk.bounces.accept(desk.report()) is BounceResult.STALE
    assert [state for _, state, _ in desk.attempts()] == ["delivered"]


def test_a_late_success_does_not_undo_a_failure(desk: Desk) -> None:
    desk.told()
    desk.bounces.accept(desk.report())
    assert desk.bounces.accept(desk.report("2.1.5", action="delivered")) is BounceResult.STALE
    assert desk.attempts() == BOUNCED


def test_passed_on_is_not_arrived_and_nothing_is_awaited(desk: Desk) -> None:
    desk.told()
    assert desk.bounces.accept(desk.report("2.1.9", action="relayed")) is BounceResult.MOVED
    counts = counters(desk.engine, desk.campaign)
    assert counts is not None
    assert (counts["accepted"], counts["open"]) == (1, 0)


def test_a_bounce_settles_what_nobody_could_tell(desk: Desk) -> None:
    desk.told(state="ambiguous", rank=2)
    assert desk.bounces.accept(desk.report()) is BounceResult.MOVED
    assert desk.attempts() == BOUNCED


def test_a_report_that_is_faster_than_the_books_waits_for_them(desk: Desk) -> None:
    assert desk.bounces.accept(desk.report()) is BounceResult.EARLY
    assert desk.bounces.accept(desk.report()) is BounceResult.DUPLICATE
    assert desk.bounces.enter_waiting() == 0
    desk.told()
    assert desk.bounces.enter_waiting() == 1
    assert desk.attempts() == BOUNCED
    assert [one.reason for one in desk.suppressions.of(ADDRESS)] == ["hard-bounce"]
    assert desk.bounces.enter_waiting() == 0


def test_a_report_whose_delivery_never_comes_is_forgotten(desk: Desk) -> None:
    desk.bounces.accept(desk.report())
    desk.clock.advance(timedelta(days=2))
    desk.bounces.enter_waiting()
    assert desk.noted() == []


def test_a_complaint_suppresses_and_leaves_the_delivery(desk: Desk) -> None:
    desk.told()
    raw = (
        b"From: fbl@isp.example\r\nTo: fbl@harbour.example\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/report; report-type=feedback-report; boundary="x"\r\n\r\n'
        b"--x\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nVersion: 1\r\n"
        b"Original-Mail-From: <" + desk.paths.sender(desk.delivery) + b">\r\n\r\n--x--\r\n"
    )
    assert desk.bounces.accept(raw) is BounceResult.COMPLAINT
    assert desk.bounces.accept(raw) is BounceResult.DUPLICATE
    assert desk.attempts() == [("email", "accepted", None)]
    assert [(one.reason, one.channel) for one in desk.suppressions.of(ADDRESS)] == [("complaint", "email")]


def test_an_automatic_answer_is_only_counted(desk: Desk) -> None:
    desk.told()
    raw = (
        b"From: lan@mail.example\r\nTo: " + desk.paths.sender(desk.delivery) + b"\r\nSubject: Away until Monday\r\n"
        b"Auto-Submitted: auto-replied\r\n\r\nI am away.\r\n"
    )
    assert desk.bounces.accept(raw) is BounceResult.AUTO_REPLY
    assert desk.attempts() == [("email", "accepted", None)]


def test_of_an_erased_person_there_is_nothing_to_suppress(desk: Desk) -> None:
    desk.told()
    desk.vault.erase(desk.person)
    assert desk.bounces.accept(desk.report()) is BounceResult.MOVED
    assert desk.suppressions.newest() == ()


def test_a_report_about_several_people_suppresses_nobody(desk: Desk) -> None:
    desk.told()
    another = b"\nFinal-Recipient: rfc822; other@mail.example\nAction: failed\nStatus: 5.1.1\n"
    raw = desk.report().replace(b"simulated bounce\n\n--", b"simulated bounce\n" + another + b"\n--", 1)
    assert raw.count(b"Final-Recipient") == 2
    assert desk.bounces.accept(raw) is BounceResult.MOVED, "a list or a forwarding: our mail did not get through"
    assert desk.suppressions.of(ADDRESS) == ()


def test_names_of_a_rotated_secret_stay_good() -> None:
    delivery = uuid4()
    old = ReturnPaths(MAILBOX, SECRET)
    new = ReturnPaths(MAILBOX, b"the-next-secret-of-ours", earlier=[SECRET])
    assert new.delivery_of(old.sender(delivery).decode()) == delivery
    assert new.delivery_of(new.name(delivery).decode()) == delivery
    assert old.delivery_of(new.sender(delivery).decode()) is None


@given(st.uuids())
def test_a_name_fits_where_it_has_to_stand(delivery: object) -> None:
    paths = ReturnPaths("bounces-16-chars@bounces.harbour.example", SECRET)
    sender = paths.sender(delivery).decode()  # type: ignore[arg-type]
    assert len(sender.rpartition("@")[0]) <= 64, "RFC 5321 section 4.5.3.1.1"
    assert paths.delivery_of(sender) == delivery


@pytest.mark.parametrize(
    "mailbox", ["", "b", "b@", "b+x@y.example", "b@y.example>", "b" * 17 + "@y.example", "b@ü.example"]
)
def test_a_mailbox_that_cannot_be_is_refused(mailbox: str) -> None:
    with pytest.raises(InvalidInput):
        ReturnPaths(mailbox, SECRET)


def test_a_desk_without_a_list_works_too(desk: Desk) -> None:
    desk.told()
    assert BounceDesk(desk.book, desk.paths).accept(desk.report()) is BounceResult.MOVED
