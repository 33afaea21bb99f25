"""What a campaign will take, told before it is approved; and segments as the standard counts them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from incidents.errors import IllegalTransition
from notifier.audience.reach import Group
from notifier.audience.tables import audiences
from notifier.campaigns.forecast import Forecast, Tariff, forecast, judged
from notifier.deliveries.order import ChannelOrder, OrderRule
from notifier.pacing.quiet import Hours
from notifier.templates.segments import is_gsm7, segments
from tests.notifier.house import VALUES, open_house

ORDINARY = "aZ09 @£¥èÇ\nΔ_ΦÆß¡§à"
TWO_SEPTETS = "^{}\\[~]|€\f"


def people(*groups: tuple[str, str, str, int]) -> dict[Group, int]:
    """So many in a country, who read a language and have addresses for these channels."""
    return {Group(country, language, tuple(has.split())): count for country, language, has, count in groups}


def test_cost_and_time_by_hand() -> None:
    tariff = Tariff(
        currency="CNY",
        sms_prices={"CN": Decimal("0.04"), "*": Decimal("0.5")},
        sms_segments_per_second=10,
        sms_senders=2,
        emails_per_second=50,
    )
    some = people(
        ("CN", "zh-Hans", "sms email", 1000),
        ("CN", "en", "sms", 10),
        ("GB", "en", "sms", 4),
        ("GB", "en", "email", 1000),
    )
    found = forecast(tariff, {"en": 3, "zh-Hans": 5}, some)
    assert (found.sms_recipients, found.sms_segments) == (1014, 5042)
    assert found.by_country == {"CN": Decimal("201.20"), "GB": Decimal("6.0")}
    assert (found.cost, found.unpriced) == (Decimal("207.20"), {})
    assert found.by_language["en"].total_segments == 42
    assert (found.sms_seconds, found.email_seconds, found.seconds) == (252.1, 20, 252.1)


def test_a_country_without_a_price_is_named_and_not_counted_as_free() -> None:
    places = people(("CN", "en", "sms", 2), ("VN", "en", "sms", 3))
    some = forecast(Tariff(sms_prices={"CN": Decimal(1)}), {"en": 2}, places)
    assert (some.cost, some.unpriced) == (Decimal(4), {"VN": 6})
    none = forecast(Tariff(), {"en": 2}, places)
    assert (none.cost, none.unpriced) == (None, {"CN": 4, "VN": 6})
    mails = forecast(Tariff(), {"en": 2}, people(("GB", "en", "email", 300)))
    assert (mails.cost, mails.sms_seconds, mails.email_recipients, mails.seconds) == (Decimal(0), 0, 300, 3)


EVERYBODY = people(
    ("CN", "zh-Hans", "sms email im letter", 600),
    ("GB", "en", "im letter", 50),
    ("GB", "en", "letter", 7),
)


def test_everybody_counts_by_the_first_of_their_channels() -> None:
    """Calls at their own pace; messages and letters in numbers only, for nobody knows their time."""
    tariff = Tariff(calls_per_second=0.5, emails_per_second=100)
    order = ChannelOrder(usual=("voice", "email", "im"))
    found = forecast(tariff, {"en": 1, "zh-Hans": 2}, EVERYBODY, order)
    assert (found.call_recipients, found.call_seconds, found.seconds) == (600, 1200, 1200)
    assert (found.sms_recipients, found.sms_segments, found.email_recipients) == (0, 0, 0)
    assert (found.im_recipients, found.unreachable, found.with_address) == (50, 7, 657)
    rule = OrderRule(countries=("CN",), order=("email",))
    by_rule = forecast(tariff, {"en": 1, "zh-Hans": 2}, EVERYBODY, ChannelOrder(usual=("voice", "im"), rules=(rule,)))
    assert (by_rule.call_recipients, by_rule.email_recipients, by_rule.im_recipients) == (0, 600, 50)


def test_calls_that_take_too_long_are_late_whatever_the_senders() -> None:
    tariff = Tariff(calls_per_second=0.1, sms_segments_per_second=100)
    order, each = ChannelOrder(usual=("voice", "email")), {"en": 1, "zh-Hans": 1}
    found = forecast(tariff, each, EVERYBODY, order)
    late = judged(found, tariff, each, EVERYBODY, order, now=NOW, deadline=NOW + timedelta(hours=1))
    assert (late.in_time, late.ends_at) == (False, NOW + timedelta(seconds=6000))
    assert late.more_senders is None, "more numbers for text messages call nobody"
    assert late.by_email_seconds == 6
    asleep = tariff.model_copy(update={"quiet_calls": Hours(time(15), time(20))})
    begun = judged(found, asleep, each, EVERYBODY, order, now=NOW, deadline=None).ends_at
    assert begun is not None
    assert begun > late.ends_at, "nobody is called in hours of rest"


def test_the_forecast_of_a_campaign_counts_its_own_audience(tmp_path: Path) -> None:
    asyncio.run(_counts(tmp_path))


async def _counts(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        campaigns = house.notifier.campaigns
        view = campaigns.draft(house.context(), incident_id=uuid4(), template="personal-data-breach", values=VALUES)
        with pytest.raises(IllegalTransition, match="Attach an audience"):
            campaigns.forecast(view.campaign_id)
        filler = [(f"P{n}", "", f"p{n}@example.com", "zh", "CN") for n in range(2000)]
        audience = house.audience(
            [
                ("A", "+8613800138000", "", "zh", "CN"),
                ("B", "", "b@example.com", "vi", "VN"),
                ("B", "+84912345678", "b@example.com", "vi", "VN"),
                *filler,
                ("P1", "+8613800138009", "p1@example.com", "zh", "CN"),
            ]
        )
        campaigns.attach_audience(house.context(), view.campaign_id, audience.audience_id)
        found = campaigns.forecast(view.campaign_id)
        texts = {name: campaigns.preview(view.campaign_id, name).sms.segments for name in ("zh-Hans", "vi")}
        assert {name: one.segments for name, one in found.by_language.items()} == texts
        assert {name: one.recipients for name, one in found.by_language.items()} == {"zh-Hans": 2, "vi": 1}
        assert (found.sms_recipients, found.email_recipients) == (3, 1999)
        assert sum(house.notifier.audiences.reach(audience.audience_id).values()) == audience.recipients
        with house.database.begin() as connection:
            kept = connection.execute(select(audiences.c.reach)).scalar_one()
            assert kept == {
                "CN zh-Hans email": 1999,
                "CN zh-Hans sms": 1,
                "CN zh-Hans sms,email": 1,
                "VN vi sms,email": 1,
            }
            connection.execute(audiences.update().values(reach={}))
        assert campaigns.forecast(view.campaign_id) == found, "an audience from before they were counted"


def _cut(text: str) -> list[str]:
    """Cut into parts as a phone would send them, by units: another way to the number than the one under test."""
    if is_gsm7(text):
        coded = [["\x1b", char] if char in TWO_SEPTETS else [char] for char in text]
        alone, joined = 160, 153
    else:
        raw = text.encode("utf-16-be", "surrogatepass")
        units = [raw[at : at + 2].hex() for at in range(0, len(raw), 2)]
        coded, alone, joined = [], 70, 67
        for unit in units:
            if coded and "dc00" <= unit <= "dfff":
                coded[-1].append(unit)
            else:
                coded.append([unit])
    flat = sum(len(char) for char in coded)
    if flat <= alone:
        return [text]
    parts: list[list[str]] = [[]]
    for char in coded:
        if len(parts[-1]) + len(char) > joined:
            parts.append([])
        parts[-1] += char
    assert all(len(part) <= joined for part in parts)
    return ["".join(part) for part in parts]


@given(st.text(alphabet=ORDINARY + TWO_SEPTETS, max_size=1000))
def test_seven_bit_texts_are_cut_between_pairs(text: str) -> None:
    assert is_gsm7(text)
    assert segments(text) == len(_cut(text))


@given(st.text(alphabet=ORDINARY + "中文ếữ😀𠮷", max_size=700))
def test_other_texts_are_cut_between_surrogate_pairs(text: str) -> None:
    assert segments(text) == len(_cut(text))


@given(st.integers(0, 500), st.sampled_from(["a", "€", "中", "😀"]), st.sampled_from(["a", "€", "中", "😀"]))
def test_a_longer_text_never_takes_fewer(count: int, many: str, last: str) -> None:
    assert segments(many * count) <= segments(many * count + last)


NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
SLOW = Tariff(sms_segments_per_second=1, sms_senders=1, emails_per_second=100)


def against(tariff: Tariff, segments: dict[str, int], deadline: datetime | None, *, with_email: int = 0) -> Forecast:
    """One segment each to so many people in each country, some of whom have email."""
    some = dict(people(*((country, "en", "sms", count) for country, count in segments.items())))
    if with_email:
        (alone,) = some
        some = {alone: some[alone] - with_email, alone._replace(channels=("sms", "email")): with_email}
    return judged(forecast(tariff, {"en": 1}, some), tariff, {"en": 1}, some, now=NOW, deadline=deadline)


def test_a_forecast_says_whether_the_deadline_can_be_met() -> None:
    assert against(SLOW, {"GB": 3600}, None).in_time is None
    just = against(SLOW, {"GB": 3600}, NOW + timedelta(hours=1))
    assert (just.in_time, just.more_senders, just.ends_at) == (True, None, NOW + timedelta(hours=1))


def test_what_cannot_be_met_says_by_how_much_more_it_could() -> None:
    """Ten hours of segments in two: four more senders like the one there is; or email, where people have it."""
    late = against(SLOW, {"GB": 36_000}, NOW + timedelta(hours=2), with_email=34_000)
    assert late.in_time is False
    assert late.late_seconds == 8 * 3600
    assert late.more_senders == 4
    assert late.by_email_seconds == pytest.approx(2_000, rel=0.01)


def test_no_number_of_senders_helps_where_a_country_takes_no_more() -> None:
    tariff = SLOW.model_copy(update={"sms_by_country": {"CN": 1.0}})
    late = against(tariff, {"CN": 36_000, "GB": 10}, NOW + timedelta(hours=2))
    assert (late.in_time, late.more_senders) == (False, None)
    passed = against(tariff, {"CN": 36_000}, NOW + timedelta(days=2))
    assert passed.in_time is True
    assert against(tariff, {"CN": 10}, NOW - timedelta(hours=1)).in_time is False


def test_hours_of_rest_count_in_the_forecast() -> None:
    """From ten in the morning in London: eleven hours until the evening, the rest after the next eight o'clock."""
    tariff = SLOW.model_copy(update={"quiet": Hours(time(21), time(8))})
    second = timedelta(seconds=1)
    assert abs(tariff.texting.ends({"GB": 3600}, NOW) - NOW - timedelta(hours=1)) < second
    ends = tariff.texting.ends({"GB": 14 * 3600}, NOW)
    assert abs(ends - datetime(2026, 11, 21, 11, 0, tzinfo=UTC)) < second
    at_night = datetime(2026, 11, 20, 23, 0, tzinfo=UTC)
    assert tariff.texting.ends({"GB": 1}, at_night) > datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
