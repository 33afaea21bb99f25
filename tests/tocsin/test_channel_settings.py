"""Settings of the channels beside text messages and mail: what is refused, and what the notifier gets."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from notifier.deliveries import Timing
from tocsin.settings import Settings, faults
from tocsin.settings_channels import ChannelSettings, ImSettings

SECRET = "tgram://123456789:abcdefg_hijklmnop"


def fields(settings: Settings) -> set[str]:
    return {fault.field for fault in faults(settings)}


def test_calls_need_an_account_and_a_number() -> None:
    assert "voice.enabled" in fields(Settings(voice={"enabled": True}))  # type: ignore[arg-type]
    named = Settings(voice={"enabled": True}, sms={"mode": "twilio", "sender": "Harbour"})  # type: ignore[arg-type]
    assert "voice.sender" in fields(named)
    good = Settings(voice={"enabled": True}, sms={"mode": "twilio", "sender": "+15550100"})  # type: ignore[arg-type]
    assert not {field for field in fields(good) if field.startswith("voice")}
    with pytest.raises(ValidationError):
        Settings(voice={"enabled": True, "sender": "Harbour"})  # type: ignore[arg-type]


def test_addresses_of_instant_messages_are_checked_and_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "services"
    file.write_text(f"telegram = {SECRET}/{{address}}\n")
    good = Settings(im={"services_file": file})  # type: ignore[arg-type]
    assert not {field for field in fields(good) if field.startswith("im")}
    assert good.im.of_persons() == {"telegram": f"{SECRET}/{{address}}"}
    assert SECRET not in repr(good) + good.model_dump_json()
    for wrong in (f"telegram = {SECRET}", "hook = json://hooks.example.com/{address}", "x = nothing://y/{address}"):
        found = faults(Settings(im={"services": wrong}))  # type: ignore[arg-type]
        assert "im.services" in {fault.field for fault in found}
        assert SECRET not in str(found)


def test_the_order_holds_what_there_is_and_mail_and_text_messages_in_any_case() -> None:
    settings = ChannelSettings.model_validate(
        {"order": ["voice", "im", "sms"], "rules": [{"countries": ["DE"], "order": ["email", "voice"]}]}
    )
    order = settings.channel_order({"sms", "voice"})

    assert order.of("en", "GB") == ("voice", "sms")
    assert order.of("en", "DE") == ("email", "voice")
    assert ChannelSettings().channel_order(()).of("en", "GB") == ("sms", "email")
    for wrong in ({"order": ["sms", "sms"]}, {"order": []}, {"order": ["pigeon"]}, {"rules": [{"order": []}]}):
        with pytest.raises(ValidationError):
            ChannelSettings.model_validate(wrong)


def test_hours_for_a_receipt_lengthen_the_wait_and_let_it_lapse() -> None:
    usual = Timing()
    assert ChannelSettings().timing(usual) == usual
    waiting = ChannelSettings(receipt_hours=24).timing(usual)
    assert sum(waiting.poll_delays, timedelta()) == timedelta(hours=24)
    assert waiting.unconfirmed == ("sms", "voice")


def test_a_group_has_no_place_for_a_person_and_a_person_needs_one() -> None:
    settings = ImSettings(groups="soc = slack://TokenA/TokenB/TokenC")  # type: ignore[arg-type]
    assert list(settings.of_groups()) == ["soc"]
    assert [fault.field for fault in ImSettings(groups="soc = json://127.0.0.1/{address}").faults()] == ["im.groups"]  # type: ignore[arg-type]
