"""The port by which batches may be announced to workers. Nothing depends on it: a lost hint is found by looking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class BatchRef:
    """The name of one batch."""

    campaign_id: UUID
    number: int


class BatchHints(Protocol):
    """Carries the names of batches that are ready from those who made them so to those who may claim them.

    A hint gives no right: the claim in the database does. Hints may be lost, doubled, late and out of order. Both
    methods return at once and raise nothing; they are called from threads, one at a time.
    """

    def publish(self, batches: Sequence[BatchRef]) -> None:
        """Announce batches, after the transaction that made them ready."""

    def next(self) -> BatchRef | None:
        """A batch somebody announced to this worker, or None."""


class NoHints:
    """Workers look for themselves."""

    def publish(self, batches: Sequence[BatchRef]) -> None:
        """Nobody is told."""

    def next(self) -> BatchRef | None:
        """There is none."""
        return None
