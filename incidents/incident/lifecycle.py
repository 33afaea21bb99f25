"""The lifecycle of an incident, written out as a table.

Phases follow NIST SP 800-61r3 and ISO/IEC 27035-1. Skipping forward is refused (a contained incident was triaged
by somebody, and the record must say when); closing is possible from anywhere, because a false alarm is closed too.
"""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    """Where an incident stands."""

    REPORTED = "reported"
    TRIAGED = "triaged"
    CONTAINED = "contained"
    ERADICATED = "eradicated"
    RECOVERED = "recovered"
    CLOSED = "closed"
    MERGED = "merged"


OPEN_PHASES = frozenset({Phase.REPORTED, Phase.TRIAGED, Phase.CONTAINED, Phase.ERADICATED, Phase.RECOVERED})

TRANSITIONS: dict[str, frozenset[Phase]] = {
    "triage": frozenset({Phase.REPORTED}),
    "contain": frozenset({Phase.TRIAGED}),
    "eradicate": frozenset({Phase.CONTAINED}),
    "recover": frozenset({Phase.CONTAINED, Phase.ERADICATED}),
    "close": OPEN_PHASES,
    "reopen": frozenset({Phase.CLOSED}),
    "merge": OPEN_PHASES,
    "absorb": OPEN_PHASES,
    "link an alert": OPEN_PHASES,
    "link an asset": OPEN_PHASES | {Phase.CLOSED},
    "state facts": OPEN_PHASES | {Phase.CLOSED},
    "grade": OPEN_PHASES | {Phase.CLOSED},
    "assign": OPEN_PHASES,
    "add a note": OPEN_PHASES | {Phase.CLOSED},
}
"""Command to the phases in which it is possible."""
