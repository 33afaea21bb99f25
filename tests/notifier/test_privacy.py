"""Promise 2: no name, phone or email of an affected person in an event, a log line, an error or a URL."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
import structlog

from notifier.audience import AudienceRefused
from notifier.standins.outcomes import ordinary_numbers, simulated_number
from tests.notifier.house import House, open_house


def test_nothing_personal_leaves_the_vault_but_the_notices(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = ordinary_numbers("GB")
    rows = [
        ("Zuleika Quisling", next(numbers), "zuleika@example.com", "en", "GB"),
        ("Ottokar Prohaska", simulated_number("invalid-number"), "ottokar@example.com", "vi", "GB"),
        ("Wenzel Xaver", simulated_number("opted-out"), "bounce-5.1.1@example.com", "en", "GB"),
        ("Ngọc Quỳnh", simulated_number("answer-lost"), "", "vi", "GB"),
        ("Ludmila Fröhlich", simulated_number("error-not-accepted"), "drop-after-dot@example.com", "en", "GB"),
        ("Ekow Mensah", simulated_number("unknown-handset"), "temporary-4.2.1@example.com", "en", "GB"),
    ]
    secrets = {part for name, phone, address, *_ in rows for part in (*name.split(), phone.strip("+"), address) if part}

    async def live() -> None:
        async with open_house(tmp_path) as house:
            with pytest.raises(AudienceRefused) as refused:
                house.audience([("Zuleika", "12", "zuleika@", "xx", "GB")])
            said = str(refused.value) + "".join(f"{fault.field}{fault.reason}" for fault in refused.value.errors)
            assert "Zuleika" not in said
            assert "zuleika" not in said
            view = house.started(rows)
            await house.finish(view.campaign_id)
            _check_tables_and_events(house, secrets)
            for message in house.standins.store.messages(channel="sms"):
                assert not _held(message.status_callback, secrets)

    with caplog.at_level(logging.DEBUG), structlog.testing.capture_logs() as entries:
        asyncio.run(live())
    # The stand-ins and the libraries below them log too; what is ours must be clean at every level.
    assert len(entries) > 5
    assert not _held(repr(entries), secrets)
    ours = [entry.getMessage() for entry in caplog.records if not entry.name.startswith(("mail.", "aiosqlite"))]
    assert not _held("\n".join(ours), secrets)
    assert not _held("".join(capsys.readouterr()), secrets)


def _check_tables_and_events(house: House, secrets: set[str]) -> None:
    events = repr(list(house.record.read(0, 10_000)))
    assert "delivery.recorded" in {type(r.event).kind for r in house.record.read(0, 10_000)}
    assert not _held(events, secrets)
    house.database.dispose()
    path = Path(str(house.database.url.database))
    if path.is_file():
        content = b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
        found = {secret for secret in secrets if len(secret) > 4 and secret.encode() in content}
        assert not found, "the database holds contacts sealed only"


def _held(text: str, secrets: set[str]) -> set[str]:
    return {secret for secret in secrets if secret in text}
