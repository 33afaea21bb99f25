"""What is recorded of letters: how many, when, by whom, and digests of what was handed out. Never an address."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from incidents.record.event import Event

Part = Literal["letters", "addresses"]
Stated = Literal["printed", "handed_over", "given_up"]


class LetterBatchMade(Event, kind="letters.batch-made"):
    """People of a campaign who could not be reached otherwise were put together for letters."""

    incident_id: UUID
    campaign_id: UUID
    letters: int
    drill: bool = False


class LetterBatchExported(Event, kind="letters.batch-exported"):
    """A person got the pages or the addresses. `left_out`: erased since, or with a sign that no
    font has."""

    incident_id: UUID
    campaign_id: UUID
    part: Part
    sha256: str
    letters: int
    left_out: int


class LetterBatchStated(Event, kind="letters.batch-stated"):
    """A person says how far the letters are: printed, handed over to the post, or that they will not go out."""

    incident_id: UUID
    campaign_id: UUID
    state: Stated
    their_reference: str = ""
    """Of the printing house or the post."""


EVENTS: tuple[type[Event], ...] = (LetterBatchMade, LetterBatchExported, LetterBatchStated)
