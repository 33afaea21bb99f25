"""What became of one person: found by whoever may know, and every look at it on record."""

from notifier.history.access import HistoryAccess
from notifier.history.finding import Finder, Found, Peopled

__all__ = ["Finder", "Found", "HistoryAccess", "Peopled"]
