"""Pace, quiet hours and further providers, as the settings say them."""

from __future__ import annotations

from datetime import time
from typing import Any

import pytest
from pydantic import ValidationError

from notifier.pacing.limits import Limits
from tocsin.sending_providers import sms_limits, tariff
from tocsin.settings import Settings, faults

ACCOUNT = {"mode": "twilio", "account_sid": "AC1", "auth_token": "t", "sender": "+12025550100"}
SECOND = {"name": "second", "account_sid": "AC2", "auth_token": "u", "sender": "54321", "senders": 2}
MAIL = {"mode": "smtp", "sender": "desk@lantern.example"}


def settings(**given: Any) -> Settings:
    return Settings(**given)


def test_the_pace_follows_from_the_kind_of_sender_unless_it_is_said() -> None:
    assert sms_limits(settings(sms=ACCOUNT)) == Limits(per_second=1)
    said = settings(sms=ACCOUNT, pacing={"sms_segments_per_second": 20, "sms_senders": 3, "sms_by_country": {"CN": 5}})
    assert sms_limits(said) == Limits(per_second=60, by_country={"CN": 5})
    assert sms_limits(settings(sms=ACCOUNT | {"mode": "simulated"})).per_second is None


def test_the_forecast_goes_by_the_pace_of_all_providers_that_share() -> None:
    both = settings(sms=ACCOUNT, sms_providers=[SECOND])
    found = tariff(both)
    assert found.sms_segments_per_second * found.sms_senders == pytest.approx(201)
    standing_by = settings(sms=ACCOUNT, sms_providers=[SECOND | {"standby": True}])
    alone = tariff(standing_by)
    assert alone.sms_segments_per_second * alone.sms_senders == 1
    slow = settings(sms=ACCOUNT, smtp=MAIL, pacing={"emails_per_second": 7})
    assert tariff(slow).emails_per_second == 7


def test_the_forecast_of_calls_goes_by_their_pace_and_their_quiet_hours() -> None:
    found = tariff(settings(sms=ACCOUNT, pacing={"calls_per_second": 4}, quiet_hours={"channels": ["voice"]}))
    assert (found.calls_per_second, found.quiet) == (4, None)
    assert found.quiet_calls is not None


def test_quiet_hours_are_off_until_channels_are_named() -> None:
    assert settings().quiet_hours.hours().channels == ()
    kept = settings(quiet_hours={"channels": ["sms"], "start": "22:00", "zone": "Asia/Shanghai"}).quiet_hours.hours()
    assert (kept.channels, kept.by_channel["sms"].start, kept.home) == (("sms",), time(22), "Asia/Shanghai")


@pytest.mark.parametrize(
    "given",
    [
        {"quiet_hours": {"zone": "Mars/Olympus"}},
        {"quiet_hours": {"channels": ["letters"]}},
        {"pacing": {"sms_by_country": {"China": 5}}},
        {"pacing": {"sms_by_country": {"CN": 0}}},
        {"pacing": {"emails_per_second": -1}},
        {"sms_providers": [SECOND | {"name": "Second one"}]},
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings(**given)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"sms_providers": [SECOND]}, "sms_providers"),
        ({"sms": ACCOUNT, "sms_providers": [SECOND, SECOND]}, "sms_providers"),
        ({"sms": ACCOUNT, "sms_providers": [SECOND | {"account_sid": "X"}]}, "sms_providers.0.account_sid"),
        ({"sms": ACCOUNT, "sms_providers": [SECOND | {"base_url": "http://x.example"}]}, "sms_providers.0.base_url"),
        ({"sms": ACCOUNT, "sms_providers": [SECOND | {"auth_token": ""}]}, "sms_providers.0.auth_token"),
        ({"smtp": MAIL, "smtp_providers": [{"name": "b", "host": "h.example", "tls": "none"}]}, "smtp_providers.0.tls"),
    ],
)
def test_what_would_not_be_safe_is_named(given: dict[str, Any], field: str) -> None:
    assert field in {fault.field for fault in faults(settings(**given))}
