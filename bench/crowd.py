"""Incidents by the million: copies of a few that were really handled, written straight into the tables.

A case is all events that were recorded between two positions, and all rows that the projections made of them. A copy is
the same under another incident's id, and under the ids that follow from it (duties, run, campaign), at positions of its
own. The texts of events and rows are cut once where these stand and filled in for each copy, and go in by COPY on
PostgreSQL and by `executemany` on SQLite, in the order of the ids, as an index likes it.

`verify` holds the result to what it claims to be: a sample of the copies' events is folded by the real projections in
a database of its own, and every row must be the one that was written here.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, Table, select, text

from incidents.clock import Clock
from incidents.record import Record, open_record, stable_id
from incidents.record.connections import without_limits
from incidents.record.database import open_engine, reading, writing
from incidents.record.stored import StoredRow, go_on_after, head_of, read_events, read_positions, write_events
from incidents.reference import reference_of
from playbooks.duties.register import DutyRegister
from playbooks.runs.run import Run
from projections.catalogue import all_projections
from projections.runner import Runner
from projections.tables import projection_positions
from tocsin.migrations.all_tables import all_tables, tables_of
from tocsin.migrations.run import upgrade
from tocsin.services import registry

CHUNK = 5_000
"""Copies written at a time."""
POSITIONS = frozenset({"position", "opened_position"})
"""Columns that hold a place in the record."""


def projected() -> list[Table]:
    """The read models that have rows of single incidents."""
    tables = (all_tables().tables[name] for name in sorted(tables_of("projections")))
    return [table for table in tables if "incident_id" in table.c]


@dataclass(frozen=True, slots=True)
class Case:
    """What was recorded of one incident, after position `after` and up to `until`, and nothing else was."""

    incident: UUID
    after: int
    until: int

    @property
    def positions(self) -> int:
        return self.until - self.after


@dataclass(slots=True)
class Copies:
    """What was made: which incidents, of which case."""

    ids: list[UUID] = field(default_factory=list)
    made_of: list[int] = field(default_factory=list)


class Crowd:
    """Writes copies of cases into one installation. Its projections must have come to the head of the record."""

    def __init__(self, engine: Engine, record: Record, cases: Sequence[Case]) -> None:
        self._engine = engine
        self._on_server = engine.dialect.name == "postgresql"
        with reading(engine) as connection:
            events = {row.position: row for row in read_events(connection)}
            self._moulds = [_Mould(connection, record, case, events) for case in cases]

    def add(self, copies: int, share: Sequence[int]) -> Copies:
        """Write so many copies. Of case n comes one in `share[n]`; the first case is the rest."""
        rng, made = random.Random(7), Copies()
        made.ids = sorted(UUID(int=rng.getrandbits(128), version=4) for _ in range(copies))
        made.made_of = [
            next((case for case in range(len(share) - 1, 0, -1) if number % share[case] == 0), 0)
            for number in range(1, copies + 1)
        ]
        with reading(self._engine) as connection:
            head = head_of(connection)
        for start in range(0, copies, CHUNK):
            with writing(self._engine) as connection, self._unhurried(connection):
                head = self._write(connection, made, range(start, min(copies, start + CHUNK)), head)
        with writing(self._engine) as connection:
            _go_on_from(connection, head)
        return made

    def _unhurried(self, connection: Connection) -> AbstractContextManager[None]:
        if not self._on_server:
            connection.exec_driver_sql("PRAGMA cache_size = -500000")
            return nullcontext()
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        return without_limits(connection)

    def _write(self, connection: Connection, made: Copies, some: range, head: int) -> int:
        filled: list[tuple[_Mould, Mapping[str, Any]]] = []
        for number in some:
            mould = self._moulds[made.made_of[number]]
            filled.append((mould, mould.values(made.ids[number], head)))
            head += mould.case.positions
        for name in dict.fromkeys(name for mould in self._moulds for name in mould.rows):
            columns = next(mould.rows[name].columns for mould in self._moulds if name in mould.rows)
            rows = ((mould.rows[name], values) for mould, values in filled if name in mould.rows)
            if self._on_server:
                _copy(connection, name, columns, "".join(one.text % values for one, values in rows))
            else:
                _insert(connection, name, columns, (row for one, values in rows for row in one.filled(values)))
        return head


@dataclass(slots=True)
class _Rows:
    """The rows of one table of a case, cut where copies differ."""

    columns: list[str]
    text: str = ""
    """PostgreSQL: lines as COPY takes them."""
    tuples: list[tuple[Any, ...]] = field(default_factory=list)
    """SQLite: values; a `_Cut` where copies differ."""

    def filled(self, values: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
        for row in self.tuples:
            yield tuple(value.filled(values) if isinstance(value, _Cut) else value for value in row)


@dataclass(frozen=True, slots=True)
class _Cut:
    text: str
    kind: type

    def filled(self, values: Mapping[str, Any]) -> Any:
        found = self.text % values
        return found.encode() if self.kind is bytes else int(found) if self.kind is int else found


class _Mould:
    """One case, cut."""

    def __init__(self, connection: Connection, record: Record, case: Case, events: Mapping[int, StoredRow]) -> None:
        self.case = case
        mine = [events[position] for position in range(case.after + 1, case.until + 1) if position in events]
        self._follows = _ids_that_follow(record, case, mine)
        self._spelled = self._placeholders()
        self._cut = re.compile("|".join(re.escape(token) for token in sorted(self._spelled, key=len, reverse=True)))
        on_server = connection.dialect.name == "postgresql"
        self.rows: dict[str, _Rows] = {}
        name, columns, rows = _stored(mine, on_server=on_server)
        self._take(name, columns, rows, on_server=on_server)
        for table in projected():
            columns, rows = _projected(connection, table, case.incident, on_server=on_server)
            if rows:
                self._take(table.name, columns, rows, on_server=on_server)

    def values(self, incident: UUID, head: int) -> dict[str, Any]:
        """What is filled in for one copy whose events come after position `head`."""
        found: dict[str, Any] = {f"p{at}": head + at for at in range(1, self.case.positions + 1)}
        for number, one in enumerate((incident, *(follow(incident) for follow in self._follows.values()))):
            dashed = str(one)
            found[f"d{number}"], found[f"h{number}"] = dashed, one.hex
            # On PostgreSQL events travel as hexadecimal digits.
            found[f"x{number}"], found[f"y{number}"] = dashed.encode().hex(), one.hex.encode().hex()
        reference = reference_of(incident)
        return {**found, "r": reference, "rl": reference.casefold(), "rx": reference.encode().hex()}

    def _placeholders(self) -> dict[str, str]:
        values = self.values(self.case.incident, 0)
        spelled = {value: name for name, value in values.items() if not name.startswith("p")}
        for number, was in enumerate((self.case.incident, *self._follows)):
            # What really stands there, which the values above must be: derived ids are only claimed to be known.
            if spelled.get(str(was)) != f"d{number}":
                raise AssertionError(f"the id {was} does not follow from the incident as it is said to")
        return spelled

    def _take(self, name: str, columns: list[str], rows: list[tuple[Any, ...]], *, on_server: bool) -> None:
        taken = _Rows(columns)
        for row in rows:
            values = [self._cut_value(column, value) for column, value in zip(columns, row, strict=True)]
            taken.tuples.append(tuple(values))
        if on_server:
            lines = ("\t".join(v.text if isinstance(v, _Cut) else v for v in row) for row in taken.tuples)
            taken.text = "".join(f"{line}\n" for line in lines)
        self.rows[name] = taken

    def _cut_value(self, column: str, value: Any) -> Any:
        if column in POSITIONS or column in {"notification_id", "rowid"}:
            return _Cut(f"%(p{int(value) - self.case.after})s", int)
        if isinstance(value, bytes | str):
            plain = value.decode() if isinstance(value, bytes) else value
            cut = self._cut.sub(lambda found: f"%({self._spelled[found[0]]})s", plain.replace("%", "%%"))
            if cut != plain:
                return _Cut(cut, type(value))
        return value


def _ids_that_follow(record: Record, case: Case, mine: Sequence[StoredRow]) -> dict[UUID, Any]:
    """The other streams of a case, and how each one's id follows from the incident's."""
    found: dict[UUID, Any] = {}
    for stream in dict.fromkeys(row.stream for row in mine if row.stream != case.incident):
        first = next(iter(record.stream(stream)))
        room = first.kind.partition(".")[0]
        if room == "duty":
            found[stream] = DutyRegister.id_for
        elif room == "run":
            found[stream] = lambda incident, book=first.definition["id"]: Run.id_for(incident, book)  # type: ignore[attr-defined]
        elif room == "campaign":
            run, _, version = first.cause.removeprefix("event:").partition("/")
            found[stream] = partial(_campaign_id, found[UUID(run)], version)
        else:
            raise AssertionError(f"a case with a stream of {first.kind} cannot be copied")
    return found


def _campaign_id(run_of: Callable[[UUID], UUID], version: str, incident: UUID) -> UUID:
    return stable_id("campaign", f"event:{run_of(incident)}/{version}")


def _stored(mine: Sequence[StoredRow], *, on_server: bool) -> tuple[str, list[str], list[tuple[Any, ...]]]:
    columns = ["originator_id", "originator_version", "topic", "state"]
    if on_server:
        return (
            "tocsin_events",
            [*columns, "notification_id"],
            [(str(r.stream), str(r.version), r.topic, f"\\\\x{r.state.hex()}", str(r.position)) for r in mine],
        )
    rows = [(row.stream.hex, row.version, row.topic, row.state, row.position) for row in mine]
    return "stored_events", [*columns, "rowid"], rows


def _projected(
    connection: Connection, table: Table, incident: UUID, *, on_server: bool
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The rows as the database itself writes them."""
    columns = [column.name for column in table.columns]
    wanted = f"SELECT {', '.join(columns)} FROM {table.name} WHERE incident_id = "
    if not on_server:
        found = connection.exec_driver_sql(f"{wanted}?", (incident.hex,)).all()
        return columns, [tuple(row) for row in found]
    cursor = connection.connection.cursor()
    with cursor.copy(f"COPY ({wanted}'{incident}') TO STDOUT") as copy:
        lines = b"".join(bytes(block) for block in copy).decode().splitlines()
    return columns, [tuple(line.split("\t")) for line in lines]


def _copy(connection: Connection, name: str, columns: Sequence[str], lines: str) -> None:
    cursor = connection.connection.cursor()
    with cursor.copy(f"COPY {name} ({', '.join(columns)}) FROM STDIN") as copy:
        copy.write(lines)


def _insert(connection: Connection, name: str, columns: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> None:
    driver: Any = connection.connection.driver_connection
    marks = ", ".join("?" * len(columns))
    driver.executemany(f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({marks})", rows)


def _go_on_from(connection: Connection, head: int) -> None:
    """Everybody who follows the record has read the copies."""
    connection.execute(projection_positions.update().values(position=head))
    table = "tocsin_tracking" if connection.dialect.name == "postgresql" else "tracking"
    followers = sorted(read_positions(connection))
    for name in followers:
        connection.execute(
            text(f"UPDATE {table} SET notification_id = :head WHERE application_name = :name"),
            {"head": head, "name": name},
        )
    go_on_after(connection, head)


def tidy(engine: Engine) -> None:
    """What the database does by itself in time: statistics, and on PostgreSQL the map of what everybody can see."""
    with engine.connect() as connection:
        if engine.dialect.name != "postgresql":
            connection.exec_driver_sql("ANALYZE")
            connection.commit()
            return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        driver: Any = connection.connection.driver_connection
        connection.exec_driver_sql("SET statement_timeout = 0")
        before, driver.patience = driver.patience, None
        connection.exec_driver_sql("VACUUM ANALYZE")
        driver.patience = before
        connection.invalidate()


def verify(engine: Engine, made: Copies, folder: Path, clock: Clock, *, sample: int = 20) -> int:
    """Fold a sample of the copies' events by the real projections, and compare every row. AssertionError where one
    differs. Returns how many rows were compared."""
    rare = [number for number, case in enumerate(made.made_of) if case]
    numbers = {*range(0, len(made.ids), max(1, len(made.ids) // sample)), *rare[:3]}
    chosen = sorted(made.ids[number] for number in numbers)
    path = folder / f"{uuid4().hex}.sqlite"
    small = open_engine(f"sqlite:///{path}")
    upgrade(small)
    with closing(open_record(f"sqlite:///{path}", registry())) as record:
        places = _hand_over(engine, small, chosen)
        Runner(record, small, all_projections(), clock).drain()
    compared = 0
    for table in projected():
        ours = _rows(engine, table, chosen, places)
        theirs = _rows(small, table, chosen, {})
        assert ours == theirs, f"copied rows of {table.name} are not what its projection writes"
        compared += len(ours)
    small.dispose()
    return compared


def _hand_over(engine: Engine, small: Engine, chosen: Sequence[UUID]) -> dict[int, int]:
    """Write all events of some incidents to another record, from position 1 on. Returns where each one was."""
    events = "tocsin_events" if engine.dialect.name == "postgresql" else "stored_events"
    position = "notification_id" if engine.dialect.name == "postgresql" else "rowid"
    found: list[StoredRow] = []
    timeline = all_tables().tables["timeline_entries"]
    with reading(engine) as connection:
        for incident in chosen:
            streams = set(
                connection.execute(
                    select(timeline.c.originator_id).where(
                        timeline.c.generation == 1, timeline.c.incident_id == incident
                    )
                ).scalars()
            )
            for stream in streams:
                rows = connection.execute(
                    text(
                        f"SELECT {position} AS at, originator_version, topic, state FROM {events} "
                        "WHERE originator_id = :stream"
                    ),
                    {"stream": stream if engine.dialect.name == "postgresql" else stream.hex},
                )
                found += [
                    StoredRow(row.at, stream, row.originator_version, row.topic, bytes(row.state)) for row in rows
                ]
    found.sort(key=lambda row: row.position)
    places = {row.position: at for at, row in enumerate(found, start=1)}
    with writing(small) as connection:
        renumbered = [StoredRow(places[r.position], r.stream, r.version, r.topic, r.state) for r in found]
        write_events(connection, renumbered)
    return places


def _rows(engine: Engine, table: Table, chosen: Sequence[UUID], places: Mapping[int, int]) -> list[dict[str, Any]]:
    with reading(engine) as connection:
        found = connection.execute(select(table).where(table.c.incident_id.in_(chosen))).mappings().all()
    rows = [
        {name: places.get(value, value) if name in POSITIONS else value for name, value in row.items()} for row in found
    ]
    keys = [column.name for column in table.primary_key.columns]
    return sorted(rows, key=lambda row: [str(row[key]).zfill(12) for key in keys])
