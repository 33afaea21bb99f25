"""What it means when Twilio does not answer a question about a message or a call."""

from __future__ import annotations

from twilio.base.exceptions import TwilioRestException, TwilioServiceException

from notifier.channels.channel import ProviderUnavailable
from notifier.channels.twilio_http import TwilioTransportError

FAULTS = (TwilioTransportError, TwilioRestException, TwilioServiceException, ValueError, KeyError)
"""What asking by the SDK raises: no answer, an answer that refuses, and one that is not Twilio's."""
_PASSING = frozenset({408, 425, 429})


def unavailable(error: Exception) -> ProviderUnavailable:
    """The fault as the delivery engine understands it: the HTTP status where there was an answer, else the kind of
    fault. A refusal (credentials, rights, an account that is not there) lasts until somebody mends it."""
    status = getattr(error, "status", None)
    if isinstance(error, TwilioRestException | TwilioServiceException) and isinstance(status, int):
        return ProviderUnavailable(str(status), lasting=400 <= status < 500 and status not in _PASSING)
    return ProviderUnavailable(type(error).__name__)
