"""Making a group's messages: contacts opened, those who are not to be written to left out, words filled in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import phonenumbers

from incidents.clock import Clock
from notifier.channels.stream import Parcel
from notifier.deliveries.groups import Ending, Seat, given_up, suppressed
from notifier.deliveries.letters import Letters, address_of, reason_without_address
from notifier.deliveries.open_batch import OpenBatch, Place
from notifier.templates import RenderedSms


class Maker:
    """Makes the messages of one lane."""

    def __init__(self, letters: Letters, clock: Clock, *, reaches: bool, by_country: Callable[[], bool]) -> None:
        """`reaches`: whether there is a channel; `by_country`: whether it matters where a message goes to."""
        self._letters = letters
        self._clock = clock
        self._reaches = reaches
        self._by_country = by_country

    def made(self, one: OpenBatch, seats: Sequence[Seat]) -> list[Parcel | tuple[Place, Ending]]:
        """The messages to these people, and the ending of those who cannot be written to. TocsinError when the notice
        itself cannot be made. Touches the database: call it from a thread."""
        batch, now = one.batch, self._clock.now()
        if not self._reaches:
            return [(Place(one, seat), given_up("no-channel", now)) for seat in seats]
        contacts = self._letters.contacts([seat.recipient_id for seat in seats])
        notice = self._letters.notice(batch.campaign_id)
        known = {
            person: address
            for person, contact in contacts.items()
            if (address := address_of(contact, batch.channel)) is not None
        }
        withheld = self._letters.withheld(notice, batch.channel, known)
        by_country = self._by_country()
        writer = self._letters.writer(notice, batch.campaign_id, batch.channel)
        made: list[Parcel | tuple[Place, Ending]] = []
        for seat in seats:
            contact = contacts.get(seat.recipient_id)
            address = address_of(contact, batch.channel)
            if withheld and (why := withheld.get(seat.recipient_id)) is not None:
                made.append((Place(one, seat), suppressed(why, now)))
                continue
            if contact is None or address is None:
                made.append((Place(one, seat), given_up(reason_without_address(contact), now)))
                continue
            message = writer.write(
                recipient_id=seat.recipient_id,
                delivery_id=seat.delivery_id,
                language=seat.language,
                reference=seat.reference,
                name=contact.name,
                address=address,
            )
            line = country_of(address) if by_country else ""
            made.append(Parcel(message, Place(one, seat, notice.incident_id, cost_of(message.content), line)))
        return made


def cost_of(content: object) -> float:
    """Units of pace: what providers count in text messages is segments."""
    return float(content.segments) if isinstance(content, RenderedSms) else 1.0


def country_of(address: str) -> str:
    """The country (ISO 3166-1 alpha-2) that a telephone number belongs to; empty for what is none."""
    if not address.startswith("+"):
        return ""
    try:
        number = phonenumbers.parse(address)
    except phonenumbers.NumberParseException:
        return ""
    region = phonenumbers.region_code_for_number(number)
    return region or phonenumbers.region_code_for_country_code(number.country_code or 0)
