"""A backup holds all that cannot be made again, opens only whole, and stands in either database as it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, func, insert, inspect, select

from incidents.clock import ManualClock
from incidents.errors import Conflict, InvalidInput
from incidents.record import Context
from incidents.record.database import open_engine, reading, writing
from incidents.record.stored import StoredRow, read_events, read_positions
from notifier.deliveries.tables import delivery_log
from notifier.vault import Contact, ErasedContact, MasterKeys, Vault
from playbooks.parties.contacts import ContactPoint
from playbooks.parties.events import Direction, PartyDescription
from tests.servers import BACKENDS, fresh_database
from tests.tocsin.conftest import MASTER_KEY, PROFILE
from tocsin.backup import BackupDamaged, inspect_backup, restore_backup, write_backup
from tocsin.backup.content import kept_tables
from tocsin.backup.hold import SendingHold
from tocsin.backup.restoring import _as_stored
from tocsin.migrations import run
from tocsin.services import Services, registry
from tocsin.settings import Settings
from tocsin.wiring import open_services

KEYS = MasterKeys.parse(f"k1:{MASTER_KEY}")
ANN = Contact(name="Ann Lý", phone="+447700900123", email="ann@example.com")


@contextmanager
def opened(url: str, folder: Path, clock: ManualClock) -> Iterator[Services]:
    settings = Settings(
        database_url=url,
        organisation_file=folder / "organisation.toml",
        vault={"master_keys": f"k1:{MASTER_KEY}"},  # type: ignore[arg-type]
    )
    with open_services(settings, clock=clock, profile=PROFILE) as services:
        yield services


def live(services: Services) -> dict[str, UUID]:
    """Something in most tables: an incident, a follower's position, people, a key, a contact of a party, a log row."""
    context = Context.of_command("user:lan", services.clock, command_id=uuid4())
    incident = uuid4()
    services.incidents.report(incident, context, title="Customer export on a public share", summary="早安 – Ω")
    stated = Context.of_command("user:lan", services.clock, command_id=uuid4())
    services.incidents.state_facts(incident, stated, facts={"persons_affected": 212})
    ann, gone = services.vault.add([ANN, Contact(name="Gone", email="gone@example.com")])
    services.vault.erase(gone)
    party, point = uuid4(), uuid4()
    described = PartyDescription(name="Cloud", direction=Direction.UPSTREAM)
    services.parties.register(party, Context.of_command("user:lan", services.clock, command_id=uuid4()), described)
    services.parties._contacts.store(party, point, ContactPoint(name="Desk", email="desk@cloud.example"))
    services.keys.create("lan", ["analyst"], created_by="user:test")
    with writing(services.engine) as connection:
        connection.execute(
            insert(delivery_log).values(
                campaign_id=uuid4(),
                recipient_id=ann,
                delivery_id=uuid4(),
                channel="sms",
                state="planned",
                at=services.clock.now(),
            )
        )
    services.projections.drain()
    return {"incident": incident, "ann": ann, "gone": gone}


def rows_of(engine: Engine) -> dict[str, Any]:
    with reading(engine) as connection:
        found: dict[str, Any] = {
            table.name: sorted(map(repr, connection.execute(select(table)))) for table in kept_tables()
        }
        found["events"] = list(read_events(connection))
        found["positions"] = read_positions(connection)
    found.pop("sending_hold")
    return found


@pytest.fixture
def made(database_url: str, tmp_path: Path, clock: ManualClock) -> tuple[Path, dict[str, UUID], dict[str, Any]]:
    """A backup, the ids in it, and the rows it was made of."""
    path = tmp_path / "night.backup"
    with opened(database_url, tmp_path, clock) as services:
        ids = live(services)
        before = rows_of(services.engine)
        written = write_backup(services.engine, KEYS, path, clock)
        assert written.events == len(before["events"]) == 3
        assert written.bytes == path.stat().st_size
    return path, ids, before


@pytest.mark.parametrize("source", BACKENDS)
@pytest.mark.parametrize("target", BACKENDS)
def test_what_is_restored_is_what_was_there_in_either_database(
    source: str, target: str, tmp_path: Path, clock: ManualClock
) -> None:
    path = tmp_path / "night.backup"
    with fresh_database(source, tmp_path) as first, fresh_database(target, tmp_path) as second:
        with opened(first, tmp_path, clock) as services:
            ids = live(services)
            before = rows_of(services.engine)
            board = services.projections.lag()
            write_backup(services.engine, KEYS, path, clock)
        engine = open_engine(second)
        restored = restore_backup(path, KEYS, engine, registry(), clock)
        assert restored.events == len(before["events"])
        assert rows_of(engine) == before
        engine.dispose()
        with opened(second, tmp_path, clock) as services:
            assert services.vault.read(ids["ann"]) == ANN
            assert isinstance(services.vault.read(ids["gone"]), ErasedContact)
            services.projections.drain()  # read models are made again from the record
            assert [(one.name, one.position) for one in services.projections.lag()] == [
                (one.name, one.position) for one in board
            ]
            head = services.record.head()
            context = Context.of_command("user:lan", clock, command_id=uuid4())
            services.incidents.state_facts(ids["incident"], context, facts={"persons_affected": 213})
            assert services.record.head() > head
            with writing(services.engine) as connection:  # numbers that the database hands out go on
                seq = connection.execute(
                    insert(delivery_log)
                    .values(
                        campaign_id=uuid4(),
                        recipient_id=ids["ann"],
                        delivery_id=uuid4(),
                        channel="sms",
                        state="planned",
                        at=clock.now(),
                    )
                    .returning(delivery_log.c.seq)
                ).scalar_one()
            assert seq == 2


def test_a_backup_of_an_older_schema_is_brought_to_the_present_one(tmp_path: Path, clock: ManualClock) -> None:
    old, new = f"sqlite:///{tmp_path / 'old.sqlite'}", f"sqlite:///{tmp_path / 'new.sqlite'}"
    with opened(old, tmp_path, clock) as services:
        ids = live(services)
        run.downgrade(services.engine, "0005")
        path = tmp_path / "older.backup"
        with reading(services.engine) as connection:
            events = list(read_events(connection))
        _write_with_tables_of(services.engine, path, clock)
    engine = open_engine(new)
    restore_backup(path, KEYS, engine, registry(), clock)
    assert run.is_current(engine)
    assert SendingHold(engine, clock).current() is not None
    with reading(engine) as connection:
        assert list(read_events(connection)) == events
    engine.dispose()
    with opened(new, tmp_path, clock) as services:
        assert services.vault.read(ids["ann"]) == ANN


def _write_with_tables_of(engine: Engine, path: Path, clock: ManualClock) -> None:
    """As the program of that schema would have: without the tables and columns that came later."""
    from tocsin.backup import writing as module

    there = set(inspect(engine).get_table_names())
    with reading(engine) as connection:
        kept = [_as_stored(connection, table.name) for table in kept_tables() if table.name in there]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "kept_tables", lambda: kept)
        patch.setattr(module, "_note", lambda *_: None)
        write_backup(engine, KEYS, path, clock)


def test_the_file_shows_nothing_and_only_its_owner_may_read_it(made: tuple[Path, dict[str, UUID], Any]) -> None:
    path, ids, _ = made
    content = path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
    for secret in ("Ann", "447700900123", "example.com", "Customer export", str(ids["incident"]), ids["ann"].hex):
        assert secret.encode() not in content


def test_any_altered_byte_and_any_lost_end_is_refused(made: tuple[Path, Any, Any], tmp_path: Path) -> None:
    path, _, _ = made
    whole = path.read_bytes()
    header = whole.index(b"\n") + 1
    broken = tmp_path / "broken.backup"
    places = {*range(0, header, 7), header, header + 5, len(whole) // 2, len(whole) - 1}
    for place in sorted(places):
        broken.write_bytes(whole[:place] + bytes([whole[place] ^ 0x01]) + whole[place + 1 :])
        with pytest.raises(BackupDamaged):
            inspect_backup(broken, KEYS, registry())
    for length in (0, 10, header, header + 2, len(whole) // 2, len(whole) - 1):
        broken.write_bytes(whole[:length])
        with pytest.raises(BackupDamaged):
            inspect_backup(broken, KEYS, registry())
    broken.write_bytes(whole + whole[header:])
    with pytest.raises(BackupDamaged):
        inspect_backup(broken, KEYS, registry())


def test_another_key_does_not_open_it(made: tuple[Path, Any, Any]) -> None:
    path, _, _ = made
    with pytest.raises(BackupDamaged, match="does not open"):
        inspect_backup(path, MasterKeys("k1", {"k1": bytes(32)}), registry())
    with pytest.raises(BackupDamaged, match="master key k1, which the settings do not hold"):
        inspect_backup(path, MasterKeys("k2", {"k2": bytes(32)}), registry())


def test_a_damaged_backup_leaves_the_database_empty(
    made: tuple[Path, Any, Any], tmp_path: Path, clock: ManualClock
) -> None:
    path, _, before = made
    whole = path.read_bytes()
    path.write_bytes(whole[:-20] + bytes(20))
    engine = open_engine(f"sqlite:///{tmp_path / 'target.sqlite'}")
    with pytest.raises(BackupDamaged):
        restore_backup(path, KEYS, engine, registry(), clock)
    assert run.current(engine) is None
    with reading(engine) as connection:
        assert not {table.name for table in kept_tables()} & set(inspect(connection).get_table_names())
    path.write_bytes(whole)  # and the next attempt may succeed
    restore_backup(path, KEYS, engine, registry(), clock)
    assert rows_of(engine) == before
    engine.dispose()


def test_a_database_that_holds_something_is_not_overwritten(
    made: tuple[Path, Any, Any], database_url: str, clock: ManualClock
) -> None:
    engine = open_engine(database_url)
    with pytest.raises(Conflict, match="not empty"):
        restore_backup(made[0], KEYS, engine, registry(), clock)
    engine.dispose()


def test_a_file_that_exists_is_not_replaced_unasked(
    made: tuple[Path, Any, Any], database_url: str, clock: ManualClock
) -> None:
    engine = open_engine(database_url)
    content = made[0].read_bytes()
    with pytest.raises(InvalidInput, match="exists"):
        write_backup(engine, KEYS, made[0], clock)
    assert made[0].read_bytes() == content
    write_backup(engine, KEYS, made[0], clock, replace=True)
    assert made[0].read_bytes() != content
    engine.dispose()


def test_a_row_that_was_changed_before_sealing_is_noticed(
    made: tuple[Path, Any, Any], tmp_path: Path, clock: ManualClock
) -> None:
    """The sums are checked against the rows that stand in the database, not only against those in the file."""
    engine = open_engine(f"sqlite:///{tmp_path / 'target.sqlite'}")
    with pytest.MonkeyPatch.context() as patch:
        from tocsin.backup import restoring

        def worse(connection: Any, rows: list[StoredRow]) -> None:
            first = rows[0]
            worsened = StoredRow(first.position, first.stream, first.version, first.topic, first.state + b" ")
            restoring_write(connection, [worsened, *rows[1:]])

        restoring_write = restoring.write_events
        patch.setattr(restoring, "write_events", worse)
        with pytest.raises(BackupDamaged, match="differs from the backup: events"):
            restore_backup(made[0], KEYS, engine, registry(), clock)
    assert run.current(engine) is None
    engine.dispose()


def test_people_erased_after_the_backup_are_erased_again(
    made: tuple[Path, dict[str, UUID], Any], tmp_path: Path, clock: ManualClock
) -> None:
    path, ids, _ = made
    url = f"sqlite:///{tmp_path / 'target.sqlite'}"
    engine = open_engine(url)
    restored = restore_backup(path, KEYS, engine, registry(), clock, erased=[ids["ann"], ids["gone"], uuid4()])
    engine.dispose()
    assert restored.erased_again == 1  # one had been erased before the backup, one is unknown to it
    with opened(url, tmp_path, clock) as services:
        assert isinstance(services.vault.read(ids["ann"]), ErasedContact)
        assert set(services.vault.erased()) == {ids["ann"], ids["gone"]}


def test_nothing_is_sent_after_a_restore_until_somebody_releases_it(
    made: tuple[Path, Any, Any], tmp_path: Path, clock: ManualClock
) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'target.sqlite'}")
    restore_backup(made[0], KEYS, engine, registry(), clock)
    hold = SendingHold(engine, clock)
    held = hold.current()
    assert held is not None
    assert "Restored from the backup of" in held.reason
    with pytest.raises(InvalidInput, match="Say why"):
        hold.release("user:lan", "  ")
    assert hold.current() == held
    hold.release("user:lan", "The old machine is off; its provider shows nothing sent since.")
    assert hold.current() is None
    with pytest.raises(Conflict):
        hold.release("user:lan", "again")
    engine.dispose()


_MAKER = """
import resource, signal, sys
from pathlib import Path
from incidents.clock import SystemClock
from incidents.record.database import open_engine
from notifier.vault import MasterKeys
from tocsin.backup import BackupFailed, write_backup

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))  # writing beyond fails, as on a full disk
try:
    write_backup(open_engine(sys.argv[1]), MasterKeys.parse(sys.argv[2]), Path(sys.argv[3]), SystemClock())
except BackupFailed as error:
    print(error.detail)
"""


def test_a_full_disk_leaves_no_half_a_backup_and_spares_the_last_one(
    made: tuple[Path, Any, Any], database_url: str, tmp_path: Path, clock: ManualClock
) -> None:
    engine = open_engine(database_url)
    Vault(engine, KEYS, clock).add([ANN] * 400)  # sealed: nothing that a compressor makes small
    engine.dispose()
    path = tmp_path / "full.backup"
    done = subprocess.run(
        [sys.executable, "-c", _MAKER, database_url, f"k1:{MASTER_KEY}", str(path)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert "cannot be written" in done.stdout, done.stderr
    assert not path.exists()
    assert not list(tmp_path.glob(".*unfinished"))
    inspect_backup(made[0], KEYS, registry())


_RESTORER = """
import os, signal, sys
from pathlib import Path
from incidents.clock import SystemClock
from incidents.record.database import open_engine
from notifier.vault import MasterKeys
from tocsin.backup import restore_backup
from tocsin.services import registry

def progress(section, rows):
    if section == sys.argv[4]:
        os.kill(os.getpid(), signal.SIGKILL)

restore_backup(Path(sys.argv[3]), MasterKeys.parse(sys.argv[2]), open_engine(sys.argv[1]), registry(), SystemClock(),
               progress=progress)
"""


@pytest.mark.parametrize("section", ["events", "vault_contacts"])
def test_a_restore_that_was_killed_can_be_begun_again(
    made: tuple[Path, Any, Any], tmp_path: Path, clock: ManualClock, section: str
) -> None:
    path, _, before = made
    url = f"sqlite:///{tmp_path / 'target.sqlite'}"
    killed = subprocess.run(
        [sys.executable, "-c", _RESTORER, url, f"k1:{MASTER_KEY}", str(path), section],
        check=False,
        env=os.environ,
    )
    assert killed.returncode == -signal.SIGKILL
    engine = open_engine(url)
    assert run.current(engine) is None
    restore_backup(path, KEYS, engine, registry(), clock)
    assert rows_of(engine) == before
    with reading(engine) as connection:
        from tocsin.backup.tables import backups

        assert connection.execute(select(func.count()).select_from(backups)).scalar_one() == 0
    engine.dispose()
