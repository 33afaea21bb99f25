"""The database fails around one try of a single delivery: before it, and after it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from notifier.channels.outcome import Outcome, Verdict
from notifier.deliveries import singles
from tests.notifier.house import FAST, House
from tests.notifier.test_lanes import mails, run
from tests.notifier.test_providers import Answers

pytestmark = pytest.mark.slow


def told_at_the_second_try(
    folder: Path, monkeypatch: pytest.MonkeyPatch, step: str, times: int, *, done: bool, **timing: Any
) -> None:
    """One mail that is put off at first and taken when it is tried again, while so many calls of a step of the book
    fail: before anything is `done`, or after."""
    channel = Answers(answer=Outcome(Verdict.TEMPORARY, code="450"))
    away = [OperationalError("COMMIT", None, ConnectionError()) for _ in range(times)]

    def failing(original: Callable[..., Any]) -> Callable[..., Any]:
        def failed(*args: Any, **named: Any) -> Any:
            if away and not done:
                raise away.pop()
            result = original(*args, **named)
            if away:
                raise away.pop()
            return result

        return failed

    async def story(house: House) -> None:
        book = house.notifier.book
        monkeypatch.setattr(book, step, failing(getattr(book, step)))
        view = house.started(mails(1))
        await house.until(lambda: len(channel.sent) == 1)
        channel.answer = None
        finished = await house.finish(view.campaign_id)
        assert finished.outcomes["accepted"] == 1
        assert (len(channel.sent), away) == (2, [])

    run(folder, story, channels={"email": channel}, timing=FAST.model_copy(update=timing))


def test_what_became_of_a_repeat_is_entered_though_the_database_was_away_just_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forgotten, it would be unclear, and told again."""
    monkeypatch.setattr(singles, "ENTER_AGAIN", (0.01,) * 5)
    told_at_the_second_try(tmp_path, monkeypatch, "settle", 2, done=True)


def test_books_that_fail_are_no_fault_of_the_provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was never asked: leaving it alone for that would help nobody."""
    with capture_logs() as logs:
        told_at_the_second_try(tmp_path, monkeypatch, "mark_writing", 6, done=False, max_tries=50, rest_after=2)
    assert not [one for one in logs if one["event"] == "provider.rests"]
