"""Settings of the channels beside text messages and mail."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, StringConstraints, field_validator

from incidents.errors import FieldFault, InvalidInput
from incidents.facts import OrganisationProfile
from notifier.channels.im import ImChannel, faults_of, read_services
from notifier.channels.im import ImSettings as ImAccount
from notifier.deliveries import Timing
from notifier.deliveries.order import ChannelOrder, OrderRule
from tocsin.settings_section import Section, is_loopback

ChannelName = Literal["sms", "email", "voice", "im"]


class OrderSettings(Section):
    """Another order for some people: one that fits the languages and countries given."""

    languages: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")], ...] = Field(
        (), max_length=50, description="Languages of the notice, such as zh-Hans; empty: any."
    )
    countries: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")], ...] = Field(
        (), max_length=250, description="Countries (ISO 3166-1), such as CN; empty: any."
    )
    order: tuple[ChannelName, ...] = Field(min_length=1, max_length=10, description="Channels, the first to try first.")

    @field_validator("order")
    @classmethod
    def _each_once(cls, order: tuple[str, ...]) -> tuple[str, ...]:
        return each_once(order)


class ChannelSettings(Section):
    """In which order a person's channels are tried. The next one is tried when one failed for good."""

    order: tuple[ChannelName, ...] = Field(
        ("sms", "email", "voice", "im"),
        min_length=1,
        max_length=10,
        description="Channels, the first to try first; what is not set up, or has no address of the person, is passed "
        "over.",
    )
    rules: tuple[OrderSettings, ...] = Field(
        (),
        max_length=50,
        description="Exceptions, a table each: `[[channels.rules]]` with `languages`, `countries` and `order`; the "
        "first that fits is taken.",
    )
    receipt_hours: float = Field(
        0,
        ge=0,
        le=240,
        description="Hours after which the next channel is tried too if a text message or call was taken and no "
        "receipt came; 0: never, for many networks send none.",
    )

    @field_validator("order")
    @classmethod
    def _each_once(cls, order: tuple[str, ...]) -> tuple[str, ...]:
        return each_once(order)

    def channel_order(self, available: Collection[str]) -> ChannelOrder:
        """The same, as the notifier takes it, with the channels that there are. Those of text messages and mail stay,
        set up or not: whoever has only them is then on record as not reached."""
        kept = {*available, "sms", "email"}

        def of(order: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(name for name in order if name in kept) or ("sms", "email")

        rules = tuple(
            OrderRule(languages=rule.languages, countries=rule.countries, order=of(rule.order)) for rule in self.rules
        )
        return ChannelOrder(usual=of(self.order), rules=rules)

    def timing(self, timing: Timing) -> Timing:
        """With the time that a receipt has."""
        if not self.receipt_hours:
            return timing
        begun = sum(timing.poll_delays, timedelta())
        rest = max(timedelta(hours=self.receipt_hours) - begun, timedelta(minutes=1))
        delays = (*timing.poll_delays, rest)
        return timing.model_copy(update={"poll_delays": delays, "unconfirmed": ("sms", "voice")})


def each_once(order: tuple[str, ...]) -> tuple[str, ...]:
    """ValueError when a channel is named twice."""
    if len(set(order)) != len(order):
        raise ValueError("name each channel once")
    return order


class VoiceSettings(Section):
    """Calls that read a notice out, through the Twilio account of `[sms]`."""

    enabled: bool = Field(False, description="Whether people are called.")
    sender: str = Field(
        "",
        pattern=r"^(\+[1-9]\d{5,14})?$",
        description="Number that calls (E.164), one of the account's; empty: that of `sms.sender`.",
    )
    answering_machine: Literal["leave", "ignore"] = Field(
        "leave",
        description="`leave`: the notice is left on an answering machine, which does not count as heard; `ignore`: a "
        "machine is not told from a person.",
    )
    ring_seconds: int = Field(30, ge=5, le=600, description="How long it rings.")
    at_once: int = Field(4, ge=1, le=200, description="Calls that each process begins at the same time.")


class ImSettings(Section):
    """Instant messages by Apprise: WeCom, DingTalk, Feishu, Slack, Teams, Telegram and others. Needs the extra `im`."""

    services: SecretStr = Field(
        SecretStr(""),
        description="Services that reach single people, a line each: `telegram = tgram://<token>/{address}`; the "
        "audience names people as `telegram:<identifier>` in its column `im`. A secret.",
    )
    services_file: Path | None = Field(None, description="File that holds `services`.")
    groups: SecretStr = Field(
        SecretStr(""),
        description="Groups of your own people, a line each: `soc = slack://...`. They get the warnings of "
        "`[warnings]` too. A secret.",
    )
    groups_file: Path | None = Field(None, description="File that holds `groups`.")
    group_language: Literal["en", "zh-Hans"] = Field("en", description="Language of the warnings to groups.")
    at_once: int = Field(4, ge=1, le=64, description="Messages under way at the same time, in each process.")

    def of_persons(self) -> dict[str, str]:
        """Services by name. InvalidInput for lines that are none."""
        return read_services(self.services.get_secret_value(), "im.services", for_persons=True)

    def of_groups(self) -> dict[str, str]:
        """Groups by name. InvalidInput for lines that are none."""
        return read_services(self.groups.get_secret_value(), "im.groups", for_persons=False)

    def channel(self, services: Mapping[str, str]) -> ImChannel:
        """A channel to these."""
        return ImChannel(ImAccount(services, concurrency=self.at_once))

    def faults(self) -> Iterator[FieldFault]:
        """What would not work."""
        for setting, read in (("im.services", self.of_persons), ("im.groups", self.of_groups)):
            try:
                found = read()
            except InvalidInput as error:
                yield from error.errors
                continue
            if found:
                yield from faults_of(found, setting)
            for name, url in found.items():
                scheme, _, rest = url.partition("://")
                host = urlsplit(f"//{rest}").hostname
                if scheme in {"json", "xml", "form", "mmost", "rocket", "matrix"} and not is_loopback(host):
                    yield FieldFault(setting, f"{name}: messages to another machine must be encrypted: {scheme}s://")


class LetterSettings(Section):
    """Letters by post. Needs the extra `letters`."""

    sender: str = Field(
        "",
        max_length=120,
        description="Line above the address, such as `Lantern Bank, 1 Harbour Road, Shanghai`; empty: the name of the "
        "organisation.",
    )
    fonts: Path | None = Field(
        None, description="Folder with fonts besides the system's; one with Chinese signs is needed for Chinese."
    )

    def sender_line(self, profile: OrganisationProfile) -> str:
        """The line above the address."""
        return self.sender or profile.name


class PublicNoticeSettings(Section):
    """Public notices: pages and a feed for everybody, published by a second person's approval."""

    unreached_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Where the law names no number: share of a campaign's people who could not be reached from which a "
        "public notice is suggested to you; 0: never.",
    )


def channel_faults(
    voice: VoiceSettings, im: ImSettings, letters: LetterSettings, *, sms_sender: str, calls_possible: bool
) -> Iterator[FieldFault]:
    """What would not work. `calls_possible`: there is a Twilio account, or what stands in for one."""
    yield from im.faults()
    if letters.fonts is not None and not letters.fonts.is_dir():
        yield FieldFault("letters.fonts", f"there is no folder {letters.fonts}")
    if voice.enabled and not calls_possible:
        yield FieldFault("voice.enabled", "calls go through the account of `sms`: set `sms.mode` to `twilio`")
    if voice.enabled and not voice.sender and not sms_sender.startswith("+"):
        yield FieldFault("voice.sender", "set the number that calls: a name or a messaging service cannot")
