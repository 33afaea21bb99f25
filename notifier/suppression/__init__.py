"""Who is not to be written to: keyed digests of addresses, which survive the erasure of the person."""

from notifier.suppression.book import Suppression, SuppressionBook
from notifier.suppression.digests import SuppressionKey, normalised

__all__ = ["Suppression", "SuppressionBook", "SuppressionKey", "normalised"]
