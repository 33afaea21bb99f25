"""What the vault holds of a person, and the mask that stands in its place once the person is erased."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from pydantic import Field

from incidents.record.event import Model


class Contact(Model):
    """A person's name and ways to be reached. `phone` is E.164, `email` a normalised address.

    The fields stay out of `repr`, so that a stray log line or traceback cannot carry them.
    """

    name: str = Field(repr=False, max_length=200)
    phone: str | None = Field(default=None, repr=False, max_length=16)
    email: str | None = Field(default=None, repr=False, max_length=254)
    im: str | None = Field(default=None, repr=False, max_length=160)
    """`service:identifier`."""
    postal: str | None = Field(default=None, repr=False, max_length=500)
    """Lines of the postal address."""

    erased: ClassVar[bool] = False


class ErasedContact(Model):
    """Stands where a contact was. Reading an erased person is normal, not an error."""

    recipient_id: UUID
    erased: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return "▮▮▮"

    @property
    def phone(self) -> None:
        return None

    @property
    def email(self) -> None:
        return None

    @property
    def im(self) -> None:
        return None

    @property
    def postal(self) -> None:
        return None
