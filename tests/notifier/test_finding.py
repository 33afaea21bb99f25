"""Who cannot be searched for is said without walking through millions at every search."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID, uuid4

from sqlalchemy import Engine, event, insert

from incidents.record.database import writing
from notifier.audience.tables import audience_members, audiences
from notifier.history import Finder, Peopled
from notifier.vault import MasterKeys
from notifier.vault.tables import vault_contacts

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def row(table: Any, **values: Any) -> dict[str, Any]:
    """A row of which only these values matter."""
    plain: dict[Any, Any] = {str: "x", int: 0, bool: False, bytes: b"x", dict: {}, list: [], UUID: uuid4()}
    for column in table.columns:
        if not (column.nullable or column.default is not None or column.name in values):
            try:
                values[column.name] = plain[column.type.python_type]
            except (KeyError, NotImplementedError):
                values[column.name] = NOW
    return values


def imported(engine: Engine, *, erased: bool) -> UUID:
    """An audience of three without marks."""
    audience, people = uuid4(), [uuid4() for _ in range(3)]
    with writing(engine) as connection:
        connection.execute(insert(audiences).values(**row(audiences, audience_id=audience, status="ready")))
        for position, person in enumerate(people, 1):
            member = row(audience_members, audience_id=audience, position=position, recipient_id=person)
            connection.execute(insert(audience_members).values(**member))
            contact = row(vault_contacts, recipient_id=person, erased_at=NOW if erased else None)
            connection.execute(insert(vault_contacts).values(**contact))
    return audience


def test_audiences_without_marks_are_looked_through_once(engine: Engine) -> None:
    peopled, _ = imported(engine, erased=False), imported(engine, erased=True)
    walked: list[str] = []

    def seen(_c: Any, _k: Any, statement: str, *_: Any) -> None:
        if "audience_members" in statement:
            walked.append(statement)

    event.listen(engine, "before_cursor_execute", seen)
    known = Peopled()
    for _ in range(3):  # each search has a finder of its own
        assert Finder(engine, cast(MasterKeys, None), known).unmarked() == (peopled,)
    assert len(walked) == 2, "one look at each audience"
