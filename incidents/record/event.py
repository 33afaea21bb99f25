"""The event: what every recorded thing has in common.

An event is immutable. It says who (`actor`), when it was recorded (`recorded_at`), when it happened in the world
(`happened_at`) and which command or event caused it (`cause`). Its class says what happened; its `kind` is the
name it is stored under, with the number of its schema, so that a class may be moved or renamed without touching
a stored byte.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, StringConstraints

from incidents.clock import Clock

Actor = Annotated[str, StringConstraints(pattern=r"^(user|system|siem|provider):[A-Za-z0-9._-]{1,64}$")]
"""Who acted: `user:` a person's key, `siem:` a detector's key, `provider:` a channel's receipt, `system:` ourselves."""

Cause = Annotated[str, StringConstraints(pattern=r"^(command|event|timer):[0-9a-f-]{36}(/[0-9]+)?$")]
"""`command:<uuid>`, `timer:<uuid>`, or `event:<originator id>/<originator version>`."""


def _to_utc(value: datetime) -> datetime:
    return value if value.tzinfo is UTC else value.astimezone(UTC)


Instant = Annotated[AwareDatetime, AfterValidator(_to_utc)]
"""A point in time. Input needs a zone; it is kept in UTC."""

NAMESPACE = uuid5(NAMESPACE_URL, "https://github.com/tocsin/tocsin")
"""Root of the deterministic ids: the same alert, command or recipient always gets the same id."""


def stable_id(*parts: str) -> UUID:
    """An id that depends on nothing but its parts (UUID version 5, RFC 9562 section 5.5)."""
    return uuid5(NAMESPACE, "\x1f".join(parts))


class Model(BaseModel):
    """A frozen value inside an event or at a boundary; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Context(Model):
    """The who, when and why that a command brings along and every event it makes will carry.

    `happened_at` is None when the thing happens as it is recorded.
    """

    actor: Actor
    cause: Cause
    recorded_at: Instant
    happened_at: Instant | None = None

    @classmethod
    def of_command(
        cls, actor: str, clock: Clock, *, command_id: UUID | None = None, happened_at: datetime | None = None
    ) -> Context:
        """The context of a command given by a person or a machine outside. The same `command_id` has one effect."""
        return cls(
            actor=actor,
            cause=f"command:{command_id or uuid4()}",
            recorded_at=clock.now(),
            happened_at=happened_at,
        )

    @classmethod
    def of_event(cls, event: Event, clock: Clock, *, actor: str = "system:tocsin") -> Context:
        """The context of what Tocsin does because of a recorded event."""
        return cls(actor=actor, cause=event.reference, recorded_at=clock.now())


class Event(BaseModel):
    """Base of all events. `kind` (`room.thing.what-happened`) and `schema_version` name the stored form."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str] = ""
    schema_version: ClassVar[int] = 1

    originator_id: UUID
    originator_version: int
    actor: Actor
    recorded_at: Instant
    happened_at: Instant
    cause: Cause

    def __init_subclass__(cls, *, kind: str = "", version: int = 1, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.kind = kind
        cls.schema_version = version

    @property
    def reference(self) -> str:
        """How another event names this one as its cause."""
        return f"event:{self.originator_id}/{self.originator_version}"
