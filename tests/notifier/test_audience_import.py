"""Importing as a stream: every format, killed at any row and taken up again, in memory that does not grow."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, select, update

from incidents.clock import ManualClock
from incidents.errors import Conflict, InvalidInput, TooLarge
from incidents.record.database import open_engine
from notifier.audience import AudienceFormat, AudienceRefused, ImportLimits
from notifier.audience.frozen import Freezer
from notifier.audience.merkle import Tree, leaf_hash, node_hash
from notifier.audience.reach import Group
from notifier.audience.tables import audience_marks, audience_members, audience_row_reports, audiences
from notifier.vault.tables import vault_contacts
from tests.conftest import ContextMaker
from tests.notifier import test_audience as csv_tests
from tests.notifier.house import KEYS, create_tables
from tests.notifier.test_audience import HEADER, Desk
from tests.servers import fresh_database

desk = csv_tests.desk
ROOT = Path(__file__).parents[2]
PEOPLE = [
    {"name": "张伟", "phone": "138 0013 8000", "email": "", "language": "zh-CN", "country": "CN"},
    {"name": "Ann", "phone": "", "email": "Ann@Example.com", "language": "en", "country": "GB"},
    {"name": "Bad", "phone": "", "email": "nobody", "language": "en", "country": "GB"},
    {"name": "Ann", "phone": "+447700900123", "email": "ann@example.com", "language": "en", "country": "GB"},
]


def _as_csv() -> bytes:
    return "\n".join([HEADER, *(",".join(one.values()) for one in PEOPLE)]).encode()


def _as_ndjson() -> bytes:
    lines = [json.dumps({key: value or None for key, value in one.items()}, ensure_ascii=False) for one in PEOPLE]
    return ("\ufeff" + "\n\n".join(lines) + "\n").encode()


def _as_parquet(rows: list[dict[str, object]] | None = None) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    out = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows or PEOPLE), out, row_group_size=2)
    return out.getvalue()


def test_who_has_neither_phone_nor_email_is_not_told_twice_either(desk: Desk, analyst: ContextMaker) -> None:
    rows = (
        "An,,,vi,VN,telegram:123456789,",
        "Ann,,,en,GB,,1 Harbour Road|London",
        "An,,,vi,VN,telegram:123456789,12 Le Loi",
        "Bob,,,en,GB,,1 Harbour Road|London",
        "ANN,,,en,GB,,1  Harbour Road|London",
    )
    file = "\n".join([f"{HEADER},im,address", *rows]).encode()
    made = desk.audiences.import_file(io.BytesIO(file), analyst(), AudienceFormat.CSV)

    assert [person[0] for person in desk.people(made)] == ["An", "Ann", "Bob"]
    folded = [(one.row, one.field) for one in desk.audiences.row_reports(made.audience_id) if one.kind == "folded"]
    assert folded == [(4, "im"), (6, "address")]
    with desk.engine.begin() as connection:
        ids = connection.execute(select(audience_members.c.recipient_id)).scalars().all()
    for person in ids:
        desk.vault.erase(person)
    with desk.engine.begin() as connection:
        assert connection.execute(select(audience_marks)).all() == [], "an erased person has no mark"


@pytest.mark.parametrize("rows_at_once", [1, 100])
def test_a_row_that_repeats_somebody_adds_their_other_addresses(
    desk: Desk, analyst: ContextMaker, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    monkeypatch.setattr("notifier.audience.filling.BATCH", rows_at_once)
    rows = (
        "Ann,+447700900123,,en,GB,,",
        "Ann,+447700900123,,en,GB,,1 Harbour Road|London",
        "Ann,+447700900123,ann@example.com,en,GB,telegram:123456789,",
        "Ann,+447700900123,,en,GB,,2 Other Road|London",
    )
    file = "\n".join([f"{HEADER},im,address", *rows]).encode()
    made = desk.audiences.import_file(io.BytesIO(file), analyst(), AudienceFormat.CSV)

    (ann,) = desk.audiences.members(made.audience_id)
    assert ann.channels == ("sms", "email", "im", "letter")
    assert made.by_channel == {"sms": 1, "email": 1, "im": 1, "letter": 1}
    contact = desk.vault.read_many([ann.recipient_id])[ann.recipient_id]
    assert (contact.email, contact.im) == ("ann@example.com", "telegram:123456789")
    assert contact.postal == "1 Harbour Road\nLondon"


@pytest.mark.parametrize(
    ("form", "make"),
    [(AudienceFormat.CSV, _as_csv), (AudienceFormat.NDJSON, _as_ndjson), (AudienceFormat.PARQUET, _as_parquet)],
)
def test_the_same_people_come_of_every_format(desk: Desk, analyst: ContextMaker, form: AudienceFormat, make) -> None:  # type: ignore[no-untyped-def]
    made = desk.audiences.import_file(io.BytesIO(make()), analyst(), form, accept_valid=True)
    assert desk.people(made) == [
        ("张伟", "+8613800138000", None, "zh-Hans"),
        ("Ann", "+447700900123", "Ann@example.com", "en"),
    ]
    assert made.by_channel == {"email": 1, "sms": 2}
    reports = [(one.row, one.kind, one.field, one.reason) for one in desk.audiences.row_reports(made.audience_id)]
    assert reports == [
        (4, "rejected", "email", "is not an email address"),
        (5, "folded", "email", "repeats row 3, and adds the phone"),
    ]
    assert desk.audiences.check(made.audience_id) == 2
    assert desk.rows(audience_marks) == [3], "one for each contact, to look people up by"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not valid JSON"),
        ("[1]", "not an object"),
        ('{"name":"A","phone":13800138000}', "no text in phone"),
        ('{"name":"A","name":"B"}', "key twice"),
        ('{"nick":"A"}', "other keys"),
        ("[" * 5000, "not valid JSON"),
        ('{"name":"' + "x" * 9000 + '"}', "longer"),
    ],
)
def test_a_broken_line_of_ndjson_costs_itself_only(desk: Desk, analyst: ContextMaker, line: str, reason: str) -> None:
    good = json.dumps(PEOPLE[1])
    with pytest.raises(AudienceRefused) as caught:
        desk.audiences.import_file(io.BytesIO(f"{good}\n{line}\n".encode()), analyst(), AudienceFormat.NDJSON)
    assert [(fault.row, fault.field) for fault in caught.value.faults] == [(3, "row")]
    assert reason in caught.value.faults[0].reason
    assert desk.rows(audiences, audience_members, vault_contacts, audience_marks, audience_row_reports) == [0] * 5


def test_what_is_no_such_parquet_file_is_refused(desk: Desk, analyst: ContextMaker) -> None:
    whole = _as_parquet()
    for bad in (b"", b"PAR1", whole[:-20], whole[:40] + bytes(60) + whole[100:]):
        with pytest.raises(InvalidInput):
            desk.audiences.import_file(io.BytesIO(bad), analyst(), AudienceFormat.PARQUET)
    with pytest.raises(InvalidInput) as caught:
        desk.audiences.import_file(
            io.BytesIO(_as_parquet([{**PEOPLE[0], "phone": 13800138000}])), analyst(), AudienceFormat.PARQUET
        )
    assert caught.value.errors[0].field == "phone"
    with pytest.raises(InvalidInput) as caught:
        desk.audiences.import_file(io.BytesIO(_as_parquet([{"a": "b"}])), analyst(), AudienceFormat.PARQUET)
    assert caught.value.errors[0].field == "header"
    small = ImportLimits(max_bytes=100)
    with pytest.raises(TooLarge):
        desk.audiences.import_file(io.BytesIO(whole), analyst(), AudienceFormat.PARQUET, limits=small)
    assert desk.rows(audiences, vault_contacts) == [0, 0]


def test_parquet_without_pyarrow_says_what_to_install(
    desk: Desk, analyst: ContextMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _as_parquet()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InvalidInput, match=r"tocsin\[parquet\]"):
        desk.audiences.import_file(io.BytesIO(whole), analyst(), AudienceFormat.PARQUET)


def _write(path: Path, count: int) -> None:
    """Rows with a bad one and a repeat in every hundred, the repeat 5,000 rows behind."""
    with path.open("w", encoding="utf-8") as out:
        out.write(HEADER + "\n")
        for n in range(count):
            if n % 100 == 50:
                out.write(f"P{n},,nobody,en,GB\n")
            elif n % 100 == 60 and n > 5000:
                out.write(f"P{n - 5000},+86138{n:08d},p{n - 5000}@example.com,en,GB\n")
            else:
                out.write(f"P{n},,p{n}@example.com,en,GB\n")


def _import(engine: Engine, path: Path, command: str, die_at: int = 0) -> subprocess.CompletedProcess[str]:
    url = engine.url.set(drivername=engine.url.get_backend_name()).render_as_string(hide_password=False)
    return subprocess.run(
        [sys.executable, "-m", "tests.notifier.audience_importer", url, str(path), command, str(die_at)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.slow
def test_killed_at_any_row_it_goes_on_with_exactly_the_missing_ones(desk: Desk, tmp_path: Path) -> None:
    """SIGKILL in the first batch, at the edge of one, behind several; then as a run that was never killed."""
    path = tmp_path / "people.csv"
    _write(path, 9000)
    command, kept = str(uuid4()), 0
    for die_at in (1500, 2002, 6400):
        died = _import(desk.engine, path, command, die_at)
        assert died.returncode == -signal.SIGKILL, died.stderr
        with desk.engine.connect() as connection:
            (rows, recipients, faulty, folded) = connection.execute(
                select(audiences.c.rows, audiences.c.recipients, audiences.c.faulty, audiences.c.folded)
            ).one()
        assert rows == (die_at - 2) // 2000 * 2000 >= kept, "whole batches stay"
        assert recipients + faulty + folded == rows
        assert desk.rows(audience_members, vault_contacts) == [recipients, recipients]
        kept = rows
    done = _import(desk.engine, path, command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("rows 8000 "), "only what was missing was taken in"
    whole = _import(desk.engine, path, str(uuid4()))
    assert whole.returncode == 0, whole.stderr
    with desk.engine.connect() as connection:
        ids = list(connection.execute(select(audiences.c.audience_id)).scalars())
    interrupted, straight = (desk.audiences.get(one) for one in ids)
    assert (interrupted.rows, interrupted.faulty, interrupted.folded) == (9000, 90, 40)
    for name in ("rows", "recipients", "folded", "faulty", "by_language", "by_channel", "by_country", "faults"):
        assert getattr(interrupted, name) == getattr(straight, name)
    assert desk.people(interrupted) == desk.people(straight)
    assert list(desk.audiences.row_reports(ids[0])) == list(desk.audiences.row_reports(ids[1]))
    assert desk.audiences.check(ids[0]) == desk.audiences.check(ids[1]) == 8870


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """The peak at 80,000 rows is that at 20,000, give or take what the allocator keeps."""
    engine = open_engine(f"sqlite:///{tmp_path / 'memory.sqlite'}")
    create_tables(engine)
    path = tmp_path / "people.csv"
    _write(path, 80_000)
    done = _import(engine, path, str(uuid4()))
    engine.dispose()
    assert done.returncode == 0, done.stderr
    peaks = {
        int(rows): int(peak)
        for _, rows, peak in (line.split() for line in done.stdout.splitlines() if line[:4] == "rows")
    }
    assert peaks[80_000] - peaks[20_000] < 12 * 1024, f"grew by {peaks[80_000] - peaks[20_000]} KiB"


class Cut(io.BytesIO):
    """Stands for the kill: nothing of ours runs after it."""

    def readline(self, size: int | None = -1) -> bytes:
        if self.tell() > 70_000:
            raise KeyboardInterrupt
        return super().readline(size)


def _people(count: int, prefix: str = "p") -> bytes:
    return (HEADER + "\n" + "".join(f"P{i},,{prefix}{i}@example.com,en,GB\n" for i in range(count))).encode()


def test_an_import_cut_short_goes_on_with_its_own_file_only(desk: Desk, analyst: ContextMaker) -> None:
    command = analyst()
    with pytest.raises(KeyboardInterrupt):
        desk.audiences.import_csv(Cut(_people(4000)), command)
    kept = desk.rows(vault_contacts)[0]
    assert kept == 2000
    with desk.engine.connect() as connection:
        first = set(connection.execute(select(audience_members.c.recipient_id)).scalars())
    made = desk.take(_people(4000), command)
    with desk.engine.connect() as connection:
        all_of_them = set(connection.execute(select(audience_members.c.recipient_id)).scalars())
    assert (made.recipients, desk.rows(audience_members, vault_contacts)) == (4000, [4000, 4000])
    assert first < all_of_them, "those who were in stay in, under their ids"

    other = analyst()
    with pytest.raises(KeyboardInterrupt):
        desk.audiences.import_csv(Cut(_people(4000)), other)
    another = desk.take(_people(3000, "q"), other)
    assert (another.recipients, desk.rows(vault_contacts)) == (3000, [7000]), "of the other file nobody is left"


def test_taking_the_valid_rows_begins_anew(desk: Desk, analyst: ContextMaker) -> None:
    """A strict import takes nobody in behind a bad row: going on with it would lose them."""
    rows = _people(4000).replace(b"p10@example.com", b"nobody")
    command = analyst()
    with pytest.raises(KeyboardInterrupt):
        desk.audiences.import_csv(Cut(rows), command)
    made = desk.take(rows, command, accept_valid=True)
    assert (made.recipients, made.faulty) == (3999, 1)


def test_what_nobody_takes_up_is_wiped_after_a_day(desk: Desk, analyst: ContextMaker, clock: ManualClock) -> None:
    with pytest.raises(KeyboardInterrupt):
        desk.audiences.import_csv(Cut(_people(4000)), analyst())
    assert desk.audiences.discard_unfinished() == 0, "it may still be running"
    clock.advance(timedelta(hours=25))
    desk.take(_people(3), analyst())
    assert desk.rows(audiences, audience_members, vault_contacts, audience_marks) == [1, 3, 3, 3]


def test_the_digest_finds_whoever_was_changed(desk: Desk, analyst: ContextMaker) -> None:
    made = desk.take(_people(5), analyst())
    third, fourth = (member.recipient_id for member in desk.audiences.members(made.audience_id)[2:4])
    desk.vault.erase(fourth)
    assert desk.audiences.check(made.audience_id) == 5, "the erased are still among those who were approved"
    table = audience_members
    with desk.engine.begin() as connection:
        connection.execute(update(table).where(table.c.recipient_id == third).values(language="vi"))
    with pytest.raises(Conflict, match="not what was frozen"):
        desk.audiences.check(made.audience_id)


def test_a_digest_of_before_stays_as_it_was(desk: Desk, analyst: ContextMaker) -> None:
    made = desk.take(_people(2), analyst())
    old = "hmac-sha256:test:" + "0" * 64
    with desk.engine.begin() as connection:
        connection.execute(update(audiences).values(digest=old))
    assert desk.audiences.get(made.audience_id).digest == old
    with pytest.raises(InvalidInput, match="before digests could be checked"):
        desk.audiences.check(made.audience_id)


def test_the_root_is_that_of_the_leaves_kept(desk: Desk, analyst: ContextMaker) -> None:
    made = desk.take(_people(7), analyst())
    with desk.engine.connect() as connection:
        leaves = list(
            connection.execute(select(audience_members.c.leaf).order_by(audience_members.c.position)).scalars()
        )
    assert made.digest == Freezer(KEYS).digest(_plain_root(leaves))


def _plain_root(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1 as it is written."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(_plain_root(leaves[:split]), _plain_root(leaves[split:]))


@given(st.integers(0, 70))
def test_the_tree_is_that_of_the_rfc(count: int) -> None:
    leaves = [leaf_hash(bytes([n])) for n in range(count)]
    tree = Tree()
    for leaf in leaves:
        tree.add(leaf)
    assert tree.root() == _plain_root(leaves)


@pytest.mark.slow
def test_on_postgresql_it_goes_on_and_folds_too(tmp_path: Path, clock: ManualClock, analyst: ContextMaker) -> None:
    with fresh_database("postgresql", tmp_path) as url:
        engine = open_engine(url)
        create_tables(engine)
        desk, path = Desk(engine, clock), tmp_path / "people.csv"
        _write(path, 7000)
        command = analyst()
        died = _import(engine, path, command.cause.removeprefix("command:"), 6500)
        assert died.returncode == -signal.SIGKILL, died.stderr
        assert desk.rows(audience_members, vault_contacts) == [5930, 5930]
        with path.open("rb") as source:
            made = desk.audiences.import_file(source, command, AudienceFormat.CSV, accept_valid=True)
        assert (made.rows, made.faulty, made.folded, made.recipients) == (7000, 70, 20, 6910)
        assert (made.by_channel, desk.audiences.check(made.audience_id)) == ({"email": 6910, "sms": 20}, 6910)
        grown = {Group("GB", "en", ("email",)): 6890, Group("GB", "en", ("sms", "email")): 20}
        assert desk.audiences.reach(made.audience_id) == grown
        assert len(list(desk.audiences.row_reports(made.audience_id))) == 90
        engine.dispose()
