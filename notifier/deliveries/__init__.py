"""Deliveries: claimed before they are tried, settled after, reconciled where nobody knows, recorded exactly once."""

from notifier.deliveries.batches import BatchBook
from notifier.deliveries.book import Claim, DeliveryBook
from notifier.deliveries.control import SendingControl, sending_follower
from notifier.deliveries.engine import DeliveryEngine
from notifier.deliveries.finishing import Finisher, counters, in_trouble
from notifier.deliveries.hints import BatchHints, BatchRef
from notifier.deliveries.letters import Letters
from notifier.deliveries.notices import Notices
from notifier.deliveries.planning import Planner
from notifier.deliveries.relay import DeliveryRelay, waiting_moves
from notifier.deliveries.timing import Timing

__all__ = [
    "BatchBook",
    "BatchHints",
    "BatchRef",
    "Claim",
    "DeliveryBook",
    "DeliveryEngine",
    "DeliveryRelay",
    "Finisher",
    "Letters",
    "Notices",
    "Planner",
    "SendingControl",
    "Timing",
    "counters",
    "in_trouble",
    "sending_follower",
    "waiting_moves",
]
