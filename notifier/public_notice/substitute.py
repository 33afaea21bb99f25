"""When too many people cannot be reached, a public notice takes the place of single ones. Pure; a person decides."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SubstituteRule:
    """When a rule of law has a public notice take the place of single notices; what is None does not count."""

    rule: str
    unreached: int | None = None
    """So many people, or more, who cannot be reached."""
    unreached_share: float | None = None
    """Such a share (0 to 1) of the people, or more."""
    affected_over: int | None = None
    """More people than so many are concerned, reached or not."""

    def calls_for_it(self, recipients: int, unreached: int) -> bool:
        """Whether it holds for a campaign to so many people of whom so many could not be reached."""
        if self.affected_over is not None and recipients > self.affected_over:
            return True
        if not unreached:
            return False
        if self.unreached is not None and unreached >= self.unreached:
            return True
        return self.unreached_share is not None and unreached >= self.unreached_share * recipients


def unreached_of(outcomes: dict[str, int]) -> int:
    """How many of a finished campaign's people were surely not told."""
    return outcomes.get("failed", 0) + outcomes.get("suppressed", 0)


def rules_that_hold(rules: tuple[SubstituteRule, ...], recipients: int, unreached: int) -> tuple[str, ...]:
    """The rules that a campaign meets."""
    return tuple(sorted({one.rule for one in rules if one.calls_for_it(recipients, unreached)}))
