"""Receipts: only genuine ones are believed, each once, and in whatever order they come the state is the same."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, insert, select
from twilio.request_validator import RequestValidator

from incidents.clock import ManualClock
from incidents.errors import Forbidden, InvalidInput
from incidents.record.database import writing
from notifier.deliveries import DeliveryBook, counters
from notifier.deliveries.moves import new_delivery
from notifier.deliveries.tables import campaign_recipients, deliveries, delivery_log, sendings
from notifier.receipts.callback_url import CallbackUrls
from notifier.receipts.signature import TwilioSignatures
from notifier.receipts.twilio import ReceiptResult, TwilioReceipts
from tests.notifier.house import SECRET, TOKEN
from tests.rows import sending_row

DATA = Path(__file__).parent / "data" / "twilio"
PUBLIC = "https://notify.harbour.example"
SID = "SM" + "a" * 32


class Desk:
    """One person of one campaign, told by SMS, and the receipts that come."""

    def __init__(self, engine: Engine, clock: ManualClock, tokens: tuple[str, ...] = (TOKEN,)) -> None:
        self.engine = engine
        self.callbacks = CallbackUrls(PUBLIC, SECRET)
        self.book = DeliveryBook(engine, clock, worker="door")
        self.receipts = TwilioReceipts(self.book, self.callbacks, tokens)
        self.campaign, self.person = uuid4(), uuid4()
        row = new_delivery(self.campaign, self.person, "sms", 0, clock.now())
        self.delivery: UUID = row["delivery_id"]
        with writing(engine) as connection:
            connection.execute(insert(sendings).values(sending_row(self.campaign, clock.now(), planned=True, open=1)))
            connection.execute(
                insert(campaign_recipients).values(
                    campaign_id=self.campaign,
                    recipient_id=self.person,
                    position=1,
                    language="en",
                    channels="sms,email",
                    reference="AAAAA-AAAAA",
                    outcome="open",
                )
            )
            connection.execute(
                insert(deliveries).values(
                    **row | {"state": "accepted", "rank": 3, "phase": "waiting", "provider_id": SID}
                )
            )

    def post(
        self,
        status: str,
        *,
        url: str | None = None,
        token: str = TOKEN,
        signature: str | None = None,
        sid: str = SID,
        **fields: str,
    ) -> ReceiptResult:
        address = url or self.callbacks.url_for(self.delivery, self.campaign)
        params: dict[str, Any] = {
            "MessageSid": sid,
            "SmsSid": sid,
            "MessageStatus": status,
            "To": "+447700900123",
            **fields,
        }
        signed = signature if signature is not None else RequestValidator(token).compute_signature(address, params)
        return self.receipts.accept(address, params, signed)

    def state(self) -> str:
        return str(self.row("sms").state)

    def row(self, channel: str) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(select(deliveries).where(deliveries.c.channel == channel)).first()

    def logged(self) -> list[str]:
        with self.engine.connect() as connection:
            return list(connection.execute(select(delivery_log.c.state).order_by(delivery_log.c.seq)).scalars())


@pytest.fixture
def desk(engine: Engine, clock: ManualClock) -> Desk:
    return Desk(engine, clock)


def test_a_receipt_moves_the_delivery(desk: Desk) -> None:
    assert desk.post("sent") is ReceiptResult.MOVED
    assert desk.post("delivered") is ReceiptResult.MOVED
    assert (desk.state(), desk.row("sms").phase) == ("delivered", "done")
    assert counters(desk.engine, desk.campaign) == {
        "open": 0,
        "reached": 1,
        "accepted": 0,
        "failed": 0,
        "ambiguous": 0,
        "suppressed": 0,
        "cancelled": 0,
    }


@pytest.mark.parametrize("order", list(itertools.permutations(["queued", "sending", "sent", "delivered"])))
def test_any_order_ends_the_same(desk: Desk, order: tuple[str, ...]) -> None:
    for status in order:
        desk.post(status)
        assert desk.post(status) is ReceiptResult.DUPLICATE
    assert desk.state() == "delivered"
    assert desk.logged() in (["sent", "delivered"], ["delivered"])


def test_a_final_state_stays(desk: Desk) -> None:
    desk.post("undelivered", ErrorCode="30003")
    assert desk.post("delivered") is ReceiptResult.STALE
    assert desk.post("sent") is ReceiptResult.STALE
    assert (desk.state(), desk.row("sms").code) == ("undelivered", "30003")


def test_a_failure_reported_later_makes_the_email_due_once(desk: Desk) -> None:
    desk.post("failed", ErrorCode="30005")
    desk.post("failed", ErrorCode="30005")
    email = desk.row("email")
    assert (email.state, email.phase) == ("planned", "ready")
    assert counters(desk.engine, desk.campaign)["open"] == 1  # type: ignore[index]


def test_statuses_nobody_knows_change_nothing_and_are_counted(desk: Desk) -> None:
    assert desk.post("invalid", ErrorCode="30011") is ReceiptResult.UNKNOWN_STATUS
    assert desk.state() == "accepted"
    assert desk.receipts.counts["unknown_status"] == 1


GOOD = {"MessageSid": SID, "MessageStatus": "sent"}


def forge(desk: Desk, case: str) -> None:
    """Post what a forger could make."""
    good = desk.callbacks.url_for(desk.delivery, desk.campaign)
    if case == "no signature":
        desk.post("delivered", signature="")
    elif case == "wrong token":
        desk.post("delivered", token="guessed")
    elif case == "other fields":
        signed = RequestValidator(TOKEN).compute_signature(good, GOOD)
        desk.receipts.accept(good, {**GOOD, "MessageStatus": "delivered"}, signed)
    elif case == "other delivery":
        # Signed by Twilio's token, but the address is none of ours: a leaked token is not enough.
        desk.post("delivered", url=good.replace(str(desk.delivery), str(uuid4())))
    elif case == "no proof":
        desk.post("delivered", url=f"{PUBLIC}/v1/receipts/twilio?delivery={desk.delivery}")
    else:
        desk.post("delivered", signature="é\udcff")


@pytest.mark.parametrize(
    "case", ["no signature", "wrong token", "other fields", "other delivery", "no proof", "not ascii"]
)
def test_a_forged_receipt_is_refused_and_changes_nothing(desk: Desk, case: str) -> None:
    with pytest.raises(Forbidden):
        forge(desk, case)
    assert desk.state() == "accepted"
    assert desk.logged() == []
    assert desk.receipts.counts["forged"] == 1


def test_both_tokens_are_good_during_a_rotation(engine: Engine, clock: ManualClock) -> None:
    desk = Desk(engine, clock, ("new-token", TOKEN))
    assert desk.post("sent", token=TOKEN) is ReceiptResult.MOVED
    assert desk.post("delivered", token="new-token") is ReceiptResult.MOVED


def test_the_public_address_counts_not_the_one_behind_the_proxy(desk: Desk) -> None:
    public = desk.callbacks.url_for(desk.delivery, desk.campaign)
    params = {"MessageSid": SID, "MessageStatus": "delivered"}
    signature = RequestValidator(TOKEN).compute_signature(public, params)
    inside = public.replace(PUBLIC, "http://10.0.0.7:8000")
    assert desk.receipts.accept(inside, params, signature) is ReceiptResult.MOVED


def test_a_receipt_for_a_delivery_of_another_database(desk: Desk) -> None:
    url = desk.callbacks.url_for(uuid4(), desk.campaign)
    assert desk.post("delivered", url=url) is ReceiptResult.UNKNOWN_DELIVERY


def test_a_signed_body_that_is_no_status_callback(desk: Desk) -> None:
    url = desk.callbacks.url_for(desk.delivery, desk.campaign)
    with pytest.raises(InvalidInput):
        desk.receipts.accept(url, {"Body": "hi"}, RequestValidator(TOKEN).compute_signature(url, {"Body": "hi"}))


@pytest.mark.parametrize(
    "case", json.loads((DATA / "signature_vectors.json").read_text())["cases"], ids=lambda c: c["id"]
)
def test_signatures_of_twilios_own_tests(case: dict[str, Any]) -> None:
    parts = urlsplit(case["url"])
    signatures = TwilioSignatures(f"{parts.scheme}://{parts.netloc}", ["12345"])
    assert signatures.is_genuine(case["url"], case["params"], case["x_twilio_signature"]) is case["valid"]
    assert not signatures.is_genuine(case["url"] + "&x=1", case["params"], case["x_twilio_signature"])


def sample_forms() -> list[Path]:
    shared = Path(os.environ.get("TOCSIN_SHARED", Path(__file__).parents[2].parent / "shared"))
    corpus = sorted((shared / "samples" / "twilio" / "callbacks").glob("*.form"))
    return sorted(DATA.glob("*.form")) + corpus


@pytest.mark.parametrize("path", sample_forms(), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_bodies_as_providers_send_them(desk: Desk, path: Path) -> None:
    params = parse_qs(path.read_text().strip())
    url = desk.callbacks.url_for(desk.delivery, desk.campaign)
    signature = RequestValidator(TOKEN).compute_signature(url, {k: v[0] for k, v in params.items()})
    if "MessageStatus" not in params:
        with pytest.raises(InvalidInput):
            desk.receipts.accept(url, params, signature)
        return
    result = desk.receipts.accept(url, params, signature)
    expected = {
        "invalid": ReceiptResult.UNKNOWN_STATUS,
        "scheduled": ReceiptResult.STALE,
        "sending": ReceiptResult.STALE,
    }
    assert result is expected.get(params["MessageStatus"][0], ReceiptResult.MOVED)


def test_receipts_of_messages_sent_before_a_rotation_are_believed(desk: Desk) -> None:
    before = desk.callbacks.url_for(desk.delivery, desk.campaign)
    rotated = CallbackUrls(PUBLIC, b"the-new-callback-secret", [b"another-earlier-secret", SECRET])
    desk.receipts = TwilioReceipts(desk.book, rotated, [TOKEN])

    assert desk.post("sent", url=before) is ReceiptResult.MOVED
    assert desk.post("delivered", url=rotated.url_for(desk.delivery, desk.campaign)) is ReceiptResult.MOVED
    assert rotated.url_for(desk.delivery, desk.campaign) != before, "signed with the new secret"
    others = CallbackUrls(PUBLIC, b"a-secret-nobody-here-had").url_for(desk.delivery, desk.campaign)
    with pytest.raises(Forbidden):
        desk.post("delivered", url=others)
    assert not CallbackUrls(PUBLIC, b"the-new-callback-secret").is_ours(
        desk.delivery, parse_qs(urlsplit(before).query)["mac"][0]
    ), "once the earlier key is gone"


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(InvalidInput):
        CallbackUrls(PUBLIC, SECRET, [b"short"])
    with pytest.raises(InvalidInput):
        CallbackUrls(PUBLIC, b"short")
