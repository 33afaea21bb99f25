"""Bringing a database to the schema of this program, and back. No configuration file: it works from an installed wheel.

Each command is one transaction, on SQLite too, and holds a lock, so that two processes that start at once do it once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, text

from incidents.errors import Conflict
from incidents.record.database import UtcDateTime, reading, writing
from tocsin.migrations.all_tables import all_tables

_LOCK = 0x746F6373696E  # "tocsin": the advisory lock that upgrades of one PostgreSQL database wait for


class UnknownSchema(Conflict):
    """The database has a schema that this program does not know: a newer one has been here."""

    code = "unknown-schema"
    title = "The database is newer than the program"


def upgrade(engine: Engine, target: str = "head") -> None:
    """Bring the schema up to `target`. Nothing happens when it is there already."""
    with _command(engine) as config:
        command.upgrade(config, target)


def downgrade(engine: Engine, target: str) -> None:
    """Bring the schema down to `target` (`base`: no tables). The rows of dropped tables are gone."""
    with _command(engine) as config:
        command.downgrade(config, target)


def current(engine: Engine) -> str | None:
    """The step the database is at, None for an empty one."""
    with reading(engine) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head() -> str | None:
    """The step that this program needs."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def is_current(engine: Engine) -> bool:
    """Whether the database has the schema that this program needs."""
    return current(engine) == head()


def differences(engine: Engine) -> list[Any]:
    """How the tables in the database differ from those in the code; empty when they agree."""
    with reading(engine) as connection:
        context = MigrationContext.configure(connection, opts=context_options())
        return list(compare_metadata(context, all_tables()))


def draft(engine: Engine, message: str, revision: str) -> None:
    """For developers: write the next step's file from the difference between code and database, to be reviewed."""
    with _command(engine) as config:
        command.revision(config, message, autogenerate=True, rev_id=revision)


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


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "tocsin:migrations")
    config.set_main_option("path_separator", "os")
    return config


@contextmanager
def _command(engine: Engine) -> Iterator[Config]:
    config = _config()
    with writing(engine) as connection:
        _wait_for_turn(connection)
        config.attributes["connection"] = connection
        try:
            yield config
        except CommandError as error:
            if isinstance(error.__cause__, RevisionError):
                raise UnknownSchema(
                    f"The database cannot be brought to the schema that was asked for: {error}. "
                    "Use the version of Tocsin that last ran on it, or a newer one."
                ) from error
            raise


def _wait_for_turn(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
