"""Old events are brought up to date on reading; the stored bytes stay as they were written."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from incidents.record import Aggregate, Event, Registry, folds, open_record

OLD_STATE = (
    b'{"actor":"user:lan","recorded_at":"2026-11-20T01:00:00Z","happened_at":"2026-11-20T00:30:00Z",'
    b'"cause":"command:5f0c8f8e-6f7e-4a55-9a0b-2f1b6f1c9f11","host":"db-07"}'
)
"""An isolation as version 1 stored it: one host."""


class HostsIsolated(Event, kind="test.hosts-isolated", version=3):
    """Version 1 had `host`, version 2 had `hosts`, version 3 says by which means."""

    hosts: tuple[str, ...]
    means: str


def to_version_2(state: dict[str, Any]) -> dict[str, Any]:
    host = state.pop("host")
    return {**state, "hosts": [host]}


def to_version_3(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "means": "not recorded"}


class Isolation(Aggregate):
    def __init__(self, aggregate_id: UUID) -> None:
        super().__init__(aggregate_id)
        self.hosts: tuple[str, ...] = ()

    @folds(HostsIsolated)
    def _isolated(self, event: HostsIsolated) -> None:
        self.hosts += event.hosts


def test_a_stored_old_event_is_read_as_the_present_version(tmp_path: Path) -> None:
    registry = Registry([HostsIsolated])
    registry.add_upcaster("test.hosts-isolated", 1, to_version_2)
    registry.add_upcaster("test.hosts-isolated", 2, to_version_3)
    stream = uuid4()
    with open_record(f"sqlite:///{tmp_path / 'old.sqlite'}", registry) as record:
        with record.factory.datastore.transaction(commit=True) as cursor:  # type: ignore[attr-defined]
            cursor.execute(
                "INSERT INTO stored_events VALUES (?, ?, ?, ?)",
                (stream.hex, 1, "test.hosts-isolated/1", OLD_STATE),
            )

        aggregate = record.load(Isolation, stream)
        (recorded,) = record.read(0, 10, kinds=["test.hosts-isolated"])

        assert aggregate.hosts == ("db-07",)
        assert isinstance(recorded.event, HostsIsolated)
        assert recorded.event.means == "not recorded"
        assert record.recorder.select_events(stream)[0].state == OLD_STATE
