"""Settings of the back channel, of signatures and of public pages: `[bounces]`, `[dkim]`, `[notice_pages]`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from incidents.errors import FieldFault, InvalidInput
from notifier.campaigns.forecast import ANYWHERE, Tariff
from notifier.channels.dkim import DkimSigner, SigningKey
from notifier.channels.return_path import ReturnPaths
from notifier.pacing.limits import Limits
from notifier.pacing.quiet import QuietHours
from tocsin.settings_section import Section

UNPACED = 10_000.0
"""Segments a second where nothing bounds them, as with stand-ins."""


class BounceSettings(Section):
    """Mail that comes back: where it goes to, and how it is taken in (by IMAP, by SMTP, or both)."""

    address: str = Field(
        "",
        max_length=200,
        description="Mailbox for bounces, such as `b@bounces.example.org`; mail goes out under `b+<name>@...`, so the "
        "mailbox must take what is behind a plus. Empty: bounces are not read.",
    )
    imap_host: str = Field("", max_length=253, description="IMAP server of the mailbox; empty: not read by IMAP.")
    imap_port: int = Field(993, ge=1, le=65535, description="Its port.")
    imap_tls: Literal["implicit", "starttls"] = Field("implicit", description="How the connection is encrypted.")
    imap_ca_file: Path | None = Field(None, description="Certificates to trust besides the system's.")
    imap_username: str = Field("", description="User of the mailbox.")
    imap_password: SecretStr = Field(SecretStr(""), description="Password of the mailbox. A secret.")
    imap_password_file: Path | None = Field(None, description="File that holds `imap_password`.")
    imap_folder: str = Field("INBOX", min_length=1, max_length=200, description="Folder that bounces lie in.")
    imap_done_folder: str = Field(
        "", max_length=200, description="Folder that they are moved to once taken in; empty: they are deleted."
    )
    imap_seconds: int = Field(60, ge=1, le=86_400, description="Between two looks into the mailbox.")
    smtp_port: int = Field(
        0, ge=0, le=65535, description="Port to take bounces in by SMTP, such as 25; 0: not taken in by SMTP."
    )
    smtp_host: str = Field("127.0.0.1", max_length=253, description="Address to listen on for them.")
    smtp_max_bytes: int = Field(5 * 1_048_576, ge=65_536, le=50 * 1_048_576, description="Largest mail taken.")
    smtp_connections: int = Field(20, ge=1, le=1_000, description="Connections at once; more are put off.")
    smtp_per_minute: int = Field(6_000, ge=1, le=1_000_000, description="Mails a minute; more are put off.")
    smtp_certificate_file: Path | None = Field(None, description="Certificate chain (PEM) to offer STARTTLS with.")
    smtp_key_file: Path | None = Field(None, description="Its private key (PEM).")

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.address:
            try:
                ReturnPaths(self.address, bytes(32))
            except InvalidInput as error:
                raise ValueError(error.detail) from error
        if (self.smtp_certificate_file is None) != (self.smtp_key_file is None):
            raise ValueError("smtp_certificate_file and smtp_key_file belong together: give both or neither")
        return self

    @property
    def domain(self) -> str:
        """The domain that bounces come to."""
        return self.address.rpartition("@")[2]


class NoticePageSettings(Section):
    """The public pages on which anybody can check a notice. Each process that answers requests counts for itself."""

    per_address_minute: int = Field(
        60, ge=5, le=100_000, description="Pages a minute for one address (IPv6: one /64); many people may share one."
    )
    per_second: int = Field(200, ge=1, le=100_000, description="Pages a second for all; ten times that at once.")


class ForecastSettings(Section):
    """What sending costs, for the forecast that is shown before a notice is approved. How fast it goes is said by
    `[pacing]`."""

    currency: str = Field("USD", pattern=r"^[A-Z]{3}$", description="Currency of the prices (ISO 4217).")
    sms_prices: dict[str, Decimal] = Field(
        {},
        description="Price of one segment of a text message by country, such as `CN = 0.04`; `*`: any other country.",
    )
    emails_per_second: float = Field(
        100.0, gt=0, le=100_000, description="Mails a second that the mail server takes, if `[pacing]` sets no limit."
    )

    @field_validator("sms_prices")
    @classmethod
    def _are_prices(cls, given: dict[str, Decimal]) -> dict[str, Decimal]:
        for country, price in given.items():
            if country != ANYWHERE and not (len(country) == 2 and country.isascii() and country.isupper()):
                raise ValueError(f"{country[:10]!r} is neither a country code of two letters, such as CN, nor `*`")
            if not price.is_finite() or price < 0:
                raise ValueError(f"the price for {country} must be 0 or more")
        return given

    def tariff(
        self, sms: Sequence[Limits], senders: int, email: Sequence[Limits], calls: Limits, quiet: QuietHours
    ) -> Tariff:
        """The same with the limits that are kept, as the notifier takes it. `sms` and `email`: those of each provider;
        `senders`: how many numbers the text messages go out from."""
        passed = [limits.per_second for limits in sms]
        each = sum(rate for rate in passed if rate is not None) / senders if None not in passed else None
        mails = [limits.per_second for limits in email if limits.per_second is not None]
        return Tariff(
            currency=self.currency,
            sms_prices=self.sms_prices,
            sms_segments_per_second=each or UNPACED,
            sms_senders=senders,
            sms_by_country=sms[0].by_country if len(sms) == 1 else {},
            emails_per_second=sum(mails) if mails and len(mails) == len(email) else self.emails_per_second,
            calls_per_second=calls.per_second or UNPACED,
            quiet=quiet.by_channel.get("sms"),
            quiet_calls=quiet.by_channel.get("voice"),
            home=quiet.home,
        )


class DkimSettings(Section):
    """Signatures on outgoing mail (RFC 6376). Publish the record that `tocsin config dkim` prints."""

    domain: str = Field("", max_length=180, description="Domain that signs: that of `smtp.sender`, or one above it.")
    selector: str = Field("", max_length=63, description="Name of the key in the DNS.")
    key: SecretStr = Field(SecretStr(""), description="RSA key of 2048 bits or more (PEM). A secret; empty: unsigned.")
    key_file: Path | None = Field(None, description="File that holds `key`.")
    ed25519_selector: str = Field("", max_length=63, description="Name of a second, Ed25519 key (RFC 8463).")
    ed25519_key: SecretStr = Field(SecretStr(""), description="Ed25519 key (PEM), beside the RSA key. A secret.")
    ed25519_key_file: Path | None = Field(None, description="File that holds `ed25519_key`.")

    def keys(self) -> list[SigningKey]:
        """The keys, RSA first; empty when mail is not signed. InvalidInput for one that is unfit."""
        named = ((self.selector, self.key), (self.ed25519_selector, self.ed25519_key))
        return [
            SigningKey.from_pem(self.domain, selector, key.get_secret_value())
            for selector, key in named
            if key.get_secret_value()
        ]

    def signer(self, from_address: str) -> DkimSigner | None:
        """What signs mail from this address; None when nothing does. InvalidInput as above."""
        keys = self.keys()
        return DkimSigner(keys, from_address=from_address) if keys else None


def notifier_faults(bounces: BounceSettings, dkim: DkimSettings, sender: str) -> Iterator[FieldFault]:
    """What would not work, or not be safe."""
    taken_in = bool(bounces.imap_host or bounces.smtp_port)
    if bounces.address and not taken_in:
        yield FieldFault("bounces.imap_host", "bounces would pile up unread: set `imap_host` or `smtp_port`")
    if taken_in and not bounces.address:
        yield FieldFault("bounces.address", "set the mailbox that bounces come to")
    if bounces.imap_host and not (bounces.imap_username and bounces.imap_password.get_secret_value()):
        yield FieldFault("bounces.imap_username", "set imap_username and imap_password (or imap_password_file)")
    for name in ("imap_ca_file", "smtp_certificate_file", "smtp_key_file"):
        path: Path | None = getattr(bounces, name)
        if path is not None and not path.is_file():
            yield FieldFault(f"bounces.{name}", f"there is no file {path}")
    try:
        dkim.signer(sender)
    except InvalidInput as error:
        yield FieldFault(error.errors[0].field if error.errors else "dkim", error.detail)
