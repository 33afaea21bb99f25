"""Warnings to our own staff: a duty presses, or its deadline was missed."""

from notifier.warnings.letter import StaffWarning
from notifier.warnings.service import Addressee, StaffWarnings

__all__ = ["Addressee", "StaffWarning", "StaffWarnings"]
