"""Warnings to our own staff: a duty presses, or its deadline was missed."""

from notifier.warnings.letter import StaffWarning
from notifier.warnings.service import StaffWarnings

__all__ = ["StaffWarning", "StaffWarnings"]
