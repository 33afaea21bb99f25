"""Errors meant for the person who meets them.

One small hierarchy. Control flow reads the class, never the text. The front door turns each class into an
RFC 9457 problem document, the command line into one line. Every error says what is wrong, where, and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldFault:
    """One fault in one place of the input. `field` is a dotted path (`rows.3.phone`), `reason` a sentence."""

    field: str
    reason: str


class TocsinError(Exception):
    """Base of every error that Tocsin raises on purpose."""

    code = "error"
    title = "Something went wrong"

    def __init__(self, detail: str, *, field: str | None = None, errors: Sequence[FieldFault] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors: tuple[FieldFault, ...] = tuple(errors) or (
            (FieldFault(field, detail),) if field is not None else ()
        )


class InvalidInput(TocsinError):
    """The input is malformed or says something impossible. Nothing was changed."""

    code = "invalid-input"
    title = "Invalid input"


class Malformed(InvalidInput):
    """The input cannot even be read: it is cut off, or not in the language it claims to be in."""

    code = "malformed-request"
    title = "Malformed input"


class TooLarge(InvalidInput):
    """The input is over a documented limit."""

    code = "too-large"
    title = "Too large"


class NotFound(TocsinError):
    """The thing addressed does not exist."""

    code = "not-found"
    title = "Not found"


class Conflict(TocsinError):
    """Somebody else changed the thing first. Load it again and repeat the command."""

    code = "conflict"
    title = "Changed by somebody else"


class IllegalTransition(TocsinError):
    """The state of the thing does not allow the command."""

    code = "illegal-transition"
    title = "Not possible in this state"


class EventsDetached(TocsinError):
    """Events that are needed lie in a segment of the record that was taken off the database."""

    code = "events-detached"
    title = "Old events are not attached"


class NotAuthenticated(TocsinError):
    """No key, a wrong key or an expired one."""

    code = "not-authenticated"
    title = "Not authenticated"


class Forbidden(TocsinError):
    """The key is good but its roles do not allow the command, or a rule of two persons forbids it."""

    code = "forbidden"
    title = "Not allowed"
