"""Bringing a database to the schema of this program, and back. No configuration file: it works from an installed wheel.

Each command is one transaction, on SQLite too: a process that is killed or a server that stops in the middle leaves
what was there before, and the next command does it all. It holds a lock, so that two that start at once do it once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import Enum, auto
from typing import Any

import structlog
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script.revision import RevisionError
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, delete, event, insert, inspect, select, text
from sqlalchemy.exc import OperationalError

from incidents.errors import Conflict
from incidents.record.database import UtcDateTime, reading, writing
from tocsin.migrations import steps
from tocsin.migrations.all_tables import all_tables
from tocsin.migrations.steps import HEAD, Plan, all_steps, configuration, head, number_of, plan_between
from tocsin.migrations.tables import schema_support

log = structlog.get_logger(__name__)

_LOCK = 0x746F6373696E  # "tocsin": the advisory lock that upgrades of one PostgreSQL database wait for

LOCK_SECONDS = 5
"""How long a step on PostgreSQL waits for a table that others use. Whoever comes after it in the queue waits with it,
so it is short, and the command starts again."""
PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 30.0, 30.0)
"""Seconds between the tries of a command that could not get a table or, on SQLite, the file."""
_BUSY = ("55P03", "40P01")
"""PostgreSQL: lock_not_available, deadlock_detected."""


class UnknownSchema(Conflict):
    """The database has a schema that this program does not know: a newer one has been here."""

    code = "unknown-schema"
    title = "The database is newer than the program"


class Standing(Enum):
    """How the schema of a database stands to this program."""

    BEHIND = auto()
    """Steps are due."""
    CURRENT = auto()
    NEWER = auto()
    """A newer program has been here, and what it did leaves room for this one."""
    TOO_NEW = auto()
    """A newer program has been here and took away what this one needs."""


def upgrade(engine: Engine, target: str = HEAD) -> None:
    """Bring the schema up to `target`. Nothing happens when it is there already, or further and still good for this
    program. UnknownSchema when it is further and not."""

    def work(connection: Connection, config: Config) -> None:
        if target != HEAD or _is_due(connection):
            command.upgrade(config, target)
            _write_support(connection)

    _change(engine, work)


def upgrade_on(connection: Connection, target: str = HEAD) -> None:
    """The same inside the caller's writing transaction."""
    with _command_on(connection) as config:
        command.upgrade(config, target)
        _write_support(connection)


def downgrade(engine: Engine, target: str) -> None:
    """Bring the schema down to `target` (`base`: no tables). The rows of dropped tables are gone."""

    def work(connection: Connection, config: Config) -> None:
        command.downgrade(config, target)
        _write_support(connection)

    _change(engine, work)


def plan(engine: Engine, target: str | None) -> Plan:
    """What bringing the schema to `target` (None: no tables) would do. UnknownSchema when a newer program has been
    here."""
    at = current(engine)
    if number_of(at, all_steps()) is None:
        raise _unknown(at)
    return plan_between(at, target)


def statements(engine: Engine, target: str | None) -> list[str]:
    """The SQL of a plan, found by running it and taking it back: it takes the locks that the run itself will take."""
    wanted = plan(engine, target)
    ran: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        if not statement.lstrip().upper().startswith(("SELECT", "PRAGMA", "BEGIN", "SHOW")):
            ran.append(f"{' '.join(statement.split())};" + (f"  -- {parameters}" if parameters else ""))

    with engine.connect().execution_options(sqlite_begin="IMMEDIATE") as connection:
        outer = connection.begin()
        try:
            with _command_on(connection) as config:
                event.listen(connection, "before_cursor_execute", note)
                (command.downgrade if wanted.down else command.upgrade)(config, target or steps.BASE)
        finally:
            outer.rollback()
    return ran


def current(engine: Engine) -> str | None:
    """The step the database is at, None for an empty one."""
    with reading(engine) as connection:
        return _current(connection)


def standing(engine: Engine) -> Standing:
    """How the schema of the database stands to this program."""
    with reading(engine) as connection:
        return _standing(connection)


def is_current(engine: Engine) -> bool:
    """Whether the database has the schema that this program needs."""
    return current(engine) == head()


def is_behind(engine: Engine) -> bool:
    """Whether the schema is older than this program needs."""
    return standing(engine) is Standing.BEHIND


def refuse_if_too_new(engine: Engine) -> None:
    """UnknownSchema when a newer program has taken away what this one needs."""
    with reading(engine) as connection:
        if _standing(connection) is Standing.TOO_NEW:
            raise _unknown(_current(connection))


def differences(engine: Engine) -> list[Any]:
    """How the tables in the database differ from those in the code; empty when they agree."""
    with reading(engine) as connection:
        context = MigrationContext.configure(connection, opts=context_options())
        return list(compare_metadata(context, all_tables()))


def draft(engine: Engine, message: str, revision: str) -> None:
    """For developers: write the next step's file from the difference between code and database, to be reviewed."""

    def work(_connection: Connection, config: Config) -> None:
        command.revision(config, message, autogenerate=True, rev_id=revision)

    _change(engine, work)


def context_options() -> dict[str, Any]:
    """How Alembic sees this project; shared by the migrations and by the comparison."""
    tables = all_tables()
    return {
        "target_metadata": tables,
        "compare_type": True,
        "render_as_batch": True,  # SQLite alters a table by copying it
        "render_item": _render,
        "include_name": lambda name, kind, _parents: kind != "table" or name in tables.tables,
    }


def _render(kind: str, item: Any, _autogen: Any) -> str | bool:
    # A migration must not change its meaning when the code does, so it names the database's own types only.
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UtcDateTime) else False


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _standing(connection: Connection) -> Standing:
    at = _current(connection)
    if at == head():
        return Standing.CURRENT
    if number_of(at, all_steps()) is not None:
        return Standing.BEHIND
    if not inspect(connection).has_table(schema_support.name):
        return Standing.TOO_NEW
    oldest = connection.execute(select(schema_support.c.oldest_program)).scalar()
    known = {step.revision for step in all_steps()}
    return Standing.NEWER if oldest in known else Standing.TOO_NEW


def _is_due(connection: Connection) -> bool:
    found = _standing(connection)
    if found is Standing.TOO_NEW:
        raise _unknown(_current(connection))
    if found is Standing.NEWER:
        log.info("schema.newer", at=_current(connection), known=head())
    return found is Standing.BEHIND


def _unknown(at: str | None) -> UnknownSchema:
    return UnknownSchema(
        f"The database is at step {at} of the schema; this program knows steps up to {head()}, and what came after "
        "does not serve it. Use the version of Tocsin that last ran on it, or a newer one."
    )


def _write_support(connection: Connection) -> None:
    """Say in the database which programs it serves now."""
    if not inspect(connection).has_table(schema_support.name):
        return
    number = number_of(_current(connection), all_steps())
    if number:
        connection.execute(delete(schema_support))
        oldest = all_steps()[number - 1].oldest_program
        connection.execute(insert(schema_support).values(number=1, oldest_program=oldest))


def _change(engine: Engine, work: Callable[[Connection, Config], None]) -> None:
    """Do the work in a transaction, again while others have the tables."""
    for pause in (*PAUSES, None):
        try:
            with writing(engine) as connection, _command_on(connection) as config:
                work(connection, config)
        except OperationalError as error:
            if not _is_busy(error):
                raise
            if pause is None:
                raise Conflict(
                    "The tables were in use all the time, so nothing was changed. Look for a long transaction or a "
                    "backup, and run `tocsin migrate` again."
                ) from error
            log.info("migration.waits", seconds=pause)
            time.sleep(pause)
        else:
            return


def _is_busy(error: OperationalError) -> bool:
    return getattr(error.orig, "sqlstate", None) in _BUSY or "database is locked" in str(error.orig)


@contextmanager
def _command_on(connection: Connection) -> Iterator[Config]:
    config = configuration()
    config.attributes["connection"] = connection
    try:
        with _unhurried(connection):
            _wait_for_turn(connection)
            yield config
    except CommandError as error:
        if isinstance(error.__cause__, RevisionError):
            raise UnknownSchema(
                f"The database cannot be brought to the schema that was asked for: {error}. "
                "Use the version of Tocsin that last ran on it, or a newer one."
            ) from error
        raise


def _unhurried(connection: Connection) -> AbstractContextManager[None]:
    if connection.dialect.name != "postgresql":
        return nullcontext()
    from incidents.record.connections import without_limits  # the driver comes with the extra `postgres`

    return without_limits(connection)


def _wait_for_turn(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
