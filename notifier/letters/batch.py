"""One batch of letters and how far it is. Pure decisions, no I/O."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from incidents.errors import IllegalTransition, InvalidInput
from incidents.privacy import refuse_contacts
from incidents.record import Aggregate, Context, folds
from notifier.decisions import must_be_person
from notifier.letters.events import LetterBatchExported, LetterBatchMade, LetterBatchStated, Part, Stated

_ENDED = frozenset({"handed_over", "given_up"})


class LetterBatch(Aggregate):
    """Made, exported, printed, handed over; each step said by a person."""

    def __init__(self, aggregate_id: UUID) -> None:
        super().__init__(aggregate_id)
        self.incident_id: UUID
        self.campaign_id: UUID
        self.letters = 0
        self.drill = False
        self.state = "made"
        self.exports = 0
        self.reference = ""
        self.in_file: int | None = None
        self.made_at: datetime
        self._given: set[tuple[str, Part]] = set()

    def has_given(self, context: Context, part: Part) -> bool:
        """Whether this command got this part before. With the same id it may ask for the other one."""
        return (context.cause, part) in self._given

    def make(self, context: Context, *, incident_id: UUID, campaign_id: UUID, letters: int, drill: bool) -> None:
        """Begin it."""
        must_be_person(context, "do this with letters")
        self.emit(
            LetterBatchMade, context, incident_id=incident_id, campaign_id=campaign_id, letters=letters, drill=drill
        )

    def export(self, context: Context, part: Part, *, sha256: str, letters: int, left_out: int) -> None:
        """Note that somebody got it."""
        must_be_person(context, "do this with letters")
        if self.state == "given_up":
            raise IllegalTransition("The letters of this batch were given up.")
        self.emit(
            LetterBatchExported,
            context,
            incident_id=self.incident_id,
            campaign_id=self.campaign_id,
            part=part,
            sha256=sha256,
            letters=letters,
            left_out=left_out,
        )

    def say(self, context: Context, state: Stated, reference: str = "") -> None:
        """How far the letters are, by the word of a person. What was never exported cannot have been printed."""
        must_be_person(context, "do this with letters")
        if self.state in _ENDED or self.state == state:
            raise IllegalTransition(f"The letters are {self.state.replace('_', ' ')} already.")
        if state != "given_up" and not self.exports:
            raise IllegalTransition("Export the letters first: nobody can have printed them.")
        if len(reference) > 64 or not reference.isprintable():
            raise InvalidInput("The reference has at most 64 printable characters.", field="reference")
        refuse_contacts(reference, "reference")
        self.emit(
            LetterBatchStated,
            context,
            incident_id=self.incident_id,
            campaign_id=self.campaign_id,
            state=state,
            their_reference=reference,
        )

    @folds(LetterBatchMade)
    def _made(self, event: LetterBatchMade) -> None:
        self.incident_id, self.campaign_id = event.incident_id, event.campaign_id
        self.letters, self.drill = event.letters, event.drill
        self.made_at = event.recorded_at

    @folds(LetterBatchExported)
    def _exported(self, event: LetterBatchExported) -> None:
        self._given.add((event.cause, event.part))
        self.exports += event.part == "letters"
        self.in_file = event.letters
        self.state = "exported" if self.state == "made" and event.part == "letters" else self.state

    @folds(LetterBatchStated)
    def _stated(self, event: LetterBatchStated) -> None:
        self.state, self.reference = event.state, event.their_reference or self.reference
