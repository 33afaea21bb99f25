"""Reading the timeline."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, select

from incidents.record.database import reading
from projections.paging import Page, ReadModel, check_limit, decode_cursor, encode_cursor, read_integer
from projections.positions import live_generation
from projections.timeline.sentences import in_language, sentence
from projections.timeline.tables import NAME, timeline_entries

_ITEMS = ("items", "missing", "not_yet_known")
"""Parameters of filings that hold ids of items."""

StepTitles = Mapping[UUID, Mapping[str, Mapping[str, str]]]
"""What steps are called: by run, step and language tag."""


class TimelineEntry(ReadModel):
    """One event of an incident, its duties, runs or campaigns."""

    position: int
    incident_id: UUID
    originator_id: UUID
    originator_version: int
    recorded_at: datetime
    happened_at: datetime
    actor: str
    kind: str
    minor: bool
    """Whether a reader who wants the story can do without it (timers, delivery counts)."""
    parameters: Mapping[str, Any]
    cause: str

    @property
    def duty(self) -> str | None:
        """The id of the duty that it is about: its own, or that of a step which is there for each (`<name>:<duty>`)."""
        if duty_id := self.parameters.get("duty_id"):
            return str(duty_id)
        return str(self.parameters.get("step", "")).partition(":")[2] or None

    @property
    def step(self) -> str | None:
        """The id in the playbook of the step of a run that it is about, without the duty."""
        step = self.parameters.get("step") if self.kind.startswith("run.") else None
        return str(step).partition(":")[0] if step else None

    def words(
        self,
        language: str,
        zone: ZoneInfo | None = None,
        *,
        duties: Mapping[str, str] = MappingProxyType({}),
        items: Mapping[str, str] = MappingProxyType({}),
        steps: StepTitles = MappingProxyType({}),
    ) -> str:
        """The entry as a sentence, in English or Simplified Chinese. Plain text: escape it where it is shown.

        `duties` and `items` are names of duties, and of items of filings, by id; they stand in place of the ids, as do
        the titles of `steps`. What has no name is called by its id.
        """
        parameters = self.parameters
        if self.duty is not None and (name := duties.get(self.duty)) is not None:
            parameters = {**parameters, "duty_id" if "duty_id" in parameters else "step": name}
        elif self.step is not None and (titles := steps.get(self.originator_id, {}).get(self.step)):
            about = f" ({self.duty})" if self.duty is not None else ""
            parameters = {**parameters, "step": f"“{in_language(titles, language)}”{about}"}
        if self.kind.startswith("filing."):
            said = {name: [items.get(one, one) for one in parameters.get(name) or ()] for name in _ITEMS}
            parameters = {**parameters, **said}
        return sentence(self.kind, parameters, language, zone)


_c = timeline_entries.c


def timeline(
    engine: Engine,
    incident_id: UUID,
    *,
    newest_first: bool = False,
    minor: bool = True,
    limit: int = 100,
    cursor: str | None = None,
) -> Page[TimelineEntry]:
    """The entries of an incident in the order they were recorded, or the other way round."""
    statement = select(timeline_entries).where(_c.generation == live_generation(NAME), _c.incident_id == incident_id)
    order = "newest" if newest_first else "oldest"
    if not minor:
        statement = statement.where(_c.minor.is_(False))
    if cursor is not None:
        (position,) = decode_cursor(cursor, order, (read_integer,))
        statement = statement.where(_c.position < position if newest_first else _c.position > position)
    statement = statement.order_by(_c.position.desc() if newest_first else _c.position)
    with reading(engine) as connection:
        rows = connection.execute(statement.limit(check_limit(limit) + 1)).mappings().all()
    more = len(rows) > limit
    return Page(
        items=tuple(TimelineEntry(**{name: row[name] for name in TimelineEntry.model_fields}) for row in rows[:limit]),
        next_cursor=encode_cursor(order, (rows[limit - 1]["position"],)) if more else None,
    )
