"""The clock that many processes share: the database's, whatever their own machines say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from structlog.testing import capture_logs

from incidents.clock import AnchoredClock

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class Server:
    """Another machine's clock, that takes some time to answer."""

    def __init__(self) -> None:
        self.uptime_now = 0.0
        self.told = NOON
        self.takes = [0.0]

    def ask(self) -> datetime:
        takes = self.takes.pop(0) if len(self.takes) > 1 else self.takes[0]
        self.uptime_now += takes
        self.told += timedelta(seconds=takes)
        return self.told - timedelta(seconds=takes / 2)

    def pass_time(self, seconds: float) -> None:
        self.uptime_now += seconds
        self.told += timedelta(seconds=seconds)

    def uptime(self) -> float:
        return self.uptime_now


def test_it_tells_the_others_time_and_carries_it_on_by_uptime() -> None:
    server = Server()
    clock = AnchoredClock(server.ask, uptime=server.uptime)
    assert clock.now() == NOON

    server.pass_time(90)

    assert clock.now() == NOON + timedelta(seconds=90)


def test_of_slow_answers_the_fastest_counts() -> None:
    server = Server()
    server.takes = [4.0, 0.2, 4.0]

    clock = AnchoredClock(server.ask, uptime=server.uptime)

    assert abs(clock.now() - server.told) < timedelta(milliseconds=1)


def test_it_is_put_right_and_never_goes_back_by_a_little() -> None:
    server = Server()
    clock = AnchoredClock(server.ask, uptime=server.uptime)
    before = clock.now()
    server.told -= timedelta(seconds=1)

    off = clock.adjust()

    assert off == timedelta(seconds=-1)
    assert clock.now() == before, "it waits for the other to come up"
    server.pass_time(3)
    assert clock.now() == server.told


def test_it_follows_a_server_that_was_put_back_loudly() -> None:
    server = Server()
    clock = AnchoredClock(server.ask, uptime=server.uptime)
    server.told -= timedelta(hours=1)

    with capture_logs() as logs:
        clock.adjust()

    assert clock.now() == NOON - timedelta(hours=1)
    assert [entry["event"] for entry in logs] == ["clock.stepped"]


def test_it_follows_a_server_that_was_put_forward() -> None:
    server = Server()
    clock = AnchoredClock(server.ask, uptime=server.uptime)
    server.told += timedelta(hours=1)

    clock.adjust()

    assert clock.now() == NOON + timedelta(hours=1)
