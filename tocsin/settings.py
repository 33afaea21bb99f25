"""Settings: from a TOML file, overridden by `TOCSIN_*` variables (`TOCSIN_SMS__ACCOUNT_SID` for `[sms] account_sid`).

Secrets come from variables or from files named by `*_file`, so that the TOML file may be shown to anybody.
`faults` lists what makes a configuration unsafe outside the demo; the service refuses to start with any of them.
"""

from __future__ import annotations

import ipaddress
import os
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qs, urlsplit

from pydantic import (
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from incidents.errors import FieldFault, InvalidInput
from notifier.vault import MasterKeys
from tocsin.settings_channels import (
    ChannelSettings,
    ImSettings,
    LetterSettings,
    PublicNoticeSettings,
    VoiceSettings,
    channel_faults,
)
from tocsin.settings_deliveries import DeliverySettings
from tocsin.settings_kafka import KafkaSettings, RelaySettings, kafka_faults
from tocsin.settings_notifier import BounceSettings, DkimSettings, ForecastSettings, NoticePageSettings, notifier_faults
from tocsin.settings_section import Section, is_loopback, with_secrets
from tocsin.settings_sending import (
    PacingSettings,
    QuietHoursSettings,
    SmsProviderSettings,
    SmtpProviderSettings,
    provider_faults,
)
from tocsin.settings_warnings import WarningSettings, WatchdogSettings

CONFIG_VARIABLE = "TOCSIN_CONFIG"
DEFAULT_FILE = "tocsin.toml"


HostName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$|^[0-9A-Fa-f:]+$")]
"""A name or address without scheme and port."""


class SmsMode(StrEnum):
    TWILIO = "twilio"
    SIMULATED = "simulated"
    NONE = "none"


class SmsSettings(Section):
    """Text messages through Twilio's API."""

    mode: SmsMode = Field(SmsMode.NONE, description="`twilio`, `simulated` (a local stand-in; demo only) or `none`.")
    account_sid: str = Field("", description="Twilio account, `AC...`.")
    auth_token: SecretStr = Field(SecretStr(""), description="Signs callbacks and authenticates us. A secret.")
    auth_token_file: Path | None = Field(None, description="File that holds `auth_token`.")
    auth_token_secondary: SecretStr = Field(SecretStr(""), description="Second token during a rotation. A secret.")
    auth_token_secondary_file: Path | None = Field(None, description="File that holds `auth_token_secondary`.")
    sender: str = Field("", description="Sending number (E.164) or alphanumeric sender.")
    messaging_service_sid: str = Field("", description="Messaging Service, `MG...`; used instead of `sender`.")
    base_url: str = Field("https://api.twilio.com", description="Where the API is; the stand-in sets its own.")


class SmtpMode(StrEnum):
    SMTP = "smtp"
    SIMULATED = "simulated"
    NONE = "none"


class SmtpSettings(Section):
    """Email through an SMTP relay."""

    mode: SmtpMode = Field(SmtpMode.NONE, description="`smtp`, `simulated` (a local stand-in; demo only) or `none`.")
    host: str = Field("127.0.0.1", description="Relay's host.")
    port: int = Field(587, ge=1, le=65535, description="Relay's port.")
    tls: Literal["starttls", "implicit", "none"] = Field("starttls", description="How the connection is encrypted.")
    ca_file: Path | None = Field(
        None, description="Certificates to trust besides the system's, if the relay has its own."
    )
    username: str = Field("", description="User for AUTH; empty for none.")
    password: SecretStr = Field(SecretStr(""), description="Password for AUTH. A secret.")
    password_file: Path | None = Field(None, description="File that holds `password`.")
    sender: str = Field("", description="From address of notices.")


class WorkerSettings(Section):
    """Processes that share the work on one database (`tocsin serve`, `api`, `worker`)."""

    probe_host: str = Field(
        "127.0.0.1",
        description="Where `tocsin worker` answers `/healthz`, `/readyz`, `/metrics`, without a key: keep it private.",
    )
    probe_port: int = Field(8001, ge=0, le=65535, description="Port for that; 0: any that is free (the log names it).")
    lease_seconds: int = Field(
        10,
        ge=2,
        le=300,
        description="After a process died, others take over what it alone was doing after so many seconds at most.",
    )
    automation_partitions: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Into how many parts incidents are divided for grading and duties, so that several processes can "
        "share that; unset: 4 on PostgreSQL, 1 on SQLite.",
    )
    drain_seconds: int = Field(
        20, ge=1, le=600, description="How long a process may take to finish what it is at when it is told to end."
    )


class VaultSettings(Section):
    """The key over the keys of the people in the vault."""

    master_keys: SecretStr = Field(
        SecretStr(""),
        description="Lines of `id:base64` (32 random bytes each); the last is current. A secret; back it up apart.",
    )
    master_keys_file: Path | None = Field(None, description="File that holds `master_keys`.")


class IntakeSettings(Section):
    """What becomes of alerts."""

    max_bytes: int = Field(1_048_576, ge=1024, description="Largest alert accepted, in bytes.")
    declare_from_severity: int = Field(
        4, ge=0, le=6, description="OCSF severity_id from which an alert declares an incident (4 = high)."
    )


class AudienceSettings(Section):
    """Limits on imported audiences."""

    max_bytes: int = Field(64 * 1_048_576, ge=1024, description="Largest file accepted by HTTP, in bytes.")
    max_rows: int = Field(500_000, ge=1, description="Most rows in a file that comes by HTTP.")
    file_max_bytes: int = Field(
        16 * 1_073_741_824, ge=1024, description="Largest file that `tocsin audience import` takes, in bytes."
    )
    default_language: str = Field(
        "",
        max_length=20,
        description="Language for people in whose own there is no notice, nor in one it falls back to; empty: the "
        "template's (`en`).",
    )
    file_max_rows: int = Field(20_000_000, ge=1, description="Most rows in such a file.")


class TracesSettings(Section):
    """OpenTelemetry traces, from an alert to the deliveries that follow from it. Needs the extra `traces`."""

    endpoint: str = Field(
        "", description="Where spans go, OTLP over HTTP: `https://collector.example.com/v1/traces`; empty: nowhere."
    )
    headers: SecretStr = Field(
        SecretStr(""), description="Headers that the collector asks for, `name=value,name=value`. A secret."
    )
    headers_file: Path | None = Field(None, description="File that holds `headers`.")
    ca_file: Path | None = Field(None, description="Certificates (PEM) to trust instead of the system's.")
    share: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of incidents, and of requests, that are traced; an incident is whole or not.",
    )

    @model_validator(mode="after")
    def _is_address(self) -> Self:
        if self.endpoint and (
            urlsplit(self.endpoint).scheme not in {"http", "https"} or not urlsplit(self.endpoint).hostname
        ):
            raise ValueError("endpoint must start with http:// or https://")
        for pair in filter(None, self.headers.get_secret_value().split(",")):
            if "=" not in pair:
                raise ValueError("headers are pairs: name=value,name=value")
        return self


class Settings(BaseSettings):
    """Everything an operator can set."""

    model_config = SettingsConfigDict(
        env_prefix="TOCSIN_", env_nested_delimiter="__", extra="forbid", frozen=True, validate_default=True
    )

    database_url: str = Field(
        "sqlite:///data/tocsin.sqlite",
        description="`sqlite:///path` or `postgresql://user:password@host:port/name`.",
    )
    database_url_file: Path | None = Field(
        None, description="File that holds `database_url`, because that may hold a password."
    )
    database_seconds: int = Field(
        30,
        ge=2,
        le=3600,
        description="Seconds that a statement may take on PostgreSQL; a connection silent for longer is given up.",
    )
    database_connections: int = Field(
        10, ge=3, le=200, description="Most connections to PostgreSQL of one process, and as many again for the record."
    )
    organisation_file: Path = Field(Path("organisation.toml"), description="The organisation profile.")
    playbooks_folder: Path | None = Field(None, description="Folder with playbooks of your own (YAML).")
    law_folder: Path | None = Field(
        None, description="Folder with law packs of your own (YAML), such as contracts; read again when a file changes."
    )
    directory: Path | None = Field(
        None, description="Folder or file with authorities of your own (YAML or TOML); they go before the shipped ones."
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")
    public_url: str = Field(
        "http://127.0.0.1:8000", description="How the world reaches this service; provider callbacks go there."
    )
    trusted_proxies: str = Field(
        "", description="Comma-separated addresses or networks of reverse proxies whose X-Forwarded-* are believed."
    )
    extra_hosts: tuple[HostName, ...] = Field(
        (),
        max_length=100,
        description="Names by which this service may be asked besides that of `public_url`, `host` and this machine's.",
    )
    migrate_at_start: bool | None = Field(
        None,
        description="Bring the database to the schema of the program at the start, or wait until `tocsin migrate` has; "
        "unset: `serve` does, `api` and `worker` wait.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level logged.")
    delivery_policy: Literal["at_least_once", "at_most_once"] = Field(
        "at_least_once",
        description="What to do when a provider cannot say whether a notice was taken: tell again (and mark), or not.",
    )
    lease_seconds: int = Field(
        20, ge=5, description="How long a process owns deliveries that it claimed, unless it renews the claim."
    )
    deliveries: DeliverySettings = DeliverySettings()
    sms: SmsSettings = SmsSettings()
    channels: ChannelSettings = ChannelSettings()
    voice: VoiceSettings = VoiceSettings()
    im: ImSettings = ImSettings()
    letters: LetterSettings = LetterSettings()
    smtp: SmtpSettings = SmtpSettings()
    bounces: BounceSettings = BounceSettings()
    dkim: DkimSettings = DkimSettings()
    notice_pages: NoticePageSettings = NoticePageSettings()
    public_notice: PublicNoticeSettings = PublicNoticeSettings()
    warnings: WarningSettings = WarningSettings()
    watchdog: WatchdogSettings = WatchdogSettings()
    workers: WorkerSettings = WorkerSettings()
    vault: VaultSettings = VaultSettings()
    intake: IntakeSettings = IntakeSettings()
    audience: AudienceSettings = AudienceSettings()
    forecast: ForecastSettings = ForecastSettings()
    pacing: PacingSettings = PacingSettings()
    quiet_hours: QuietHoursSettings = QuietHoursSettings()
    sms_providers: tuple[SmsProviderSettings, ...] = Field((), max_length=10, description="Further accounts.")
    smtp_providers: tuple[SmtpProviderSettings, ...] = Field((), max_length=10, description="Further mail servers.")
    kafka: KafkaSettings = KafkaSettings()
    relay: RelaySettings = RelaySettings()
    traces: TracesSettings = TracesSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        path = Path(os.environ.get(CONFIG_VARIABLE) or DEFAULT_FILE)
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, path)

    @model_validator(mode="before")
    @classmethod
    def _read_secret_files(cls, data: Any) -> Any:
        return with_secrets(cls, data)

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies_are_addresses(cls, text: str) -> str:
        for part in filter(None, (part.strip() for part in text.split(","))):
            try:
                network = ipaddress.ip_network(part)
            except ValueError:
                raise ValueError(
                    f"{part[:60]!r} is not an address or a network such as 10.0.0.0/24; name each proxy"
                ) from None
            if network.prefixlen == 0:
                raise ValueError(f"{part} is everybody: any caller could say to be any address; name each proxy")
        return text

    @model_validator(mode="after")
    def _addresses_make_sense(self) -> Self:
        if urlsplit(self.public_url).scheme not in {"http", "https"}:
            raise ValueError("public_url must start with http:// or https://")
        return self

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.lease_seconds)

    @property
    def is_on_server(self) -> bool:
        """Whether the database is a server's, which many processes can share, and not a file."""
        return not self.database_url.startswith("sqlite")

    @property
    def hears_commits(self) -> bool:
        """Whether the database can tell this process of other processes' commits."""
        return self.is_on_server and parse_qs(urlsplit(self.database_url).query).get("pooler") != ["transaction"]

    @property
    def automation_partitions(self) -> int:
        """Into how many parts incidents are divided for automation."""
        return self.workers.automation_partitions or (4 if self.is_on_server else 1)

    @property
    def sends_warnings(self) -> bool:
        """Whether our own people are mailed about pressing and missed duties."""
        wanted = self.warnings.enabled if self.warnings.enabled is not None else self.smtp.mode is not SmtpMode.NONE
        somebody = bool(self.warnings.email or self.warnings.owners)
        by_mail = wanted and somebody and self.smtp.mode is not SmtpMode.NONE
        return by_mail or (self.warnings.enabled is not False and bool(self.im.groups.get_secret_value().strip()))

    def master_keys(self) -> MasterKeys:
        """The vault's master keys. InvalidInput when they are missing or malformed; `tocsin init` makes one."""
        return MasterKeys.parse(self.vault.master_keys.get_secret_value())


def load_settings(**overrides: Any) -> Settings:
    """Read the settings; InvalidInput names every wrong one."""
    named = os.environ.get(CONFIG_VARIABLE)
    if named and not Path(named).is_file():
        raise InvalidInput(f"{CONFIG_VARIABLE} names {named}, which is not a file.", field=CONFIG_VARIABLE)
    try:
        return Settings(**overrides)
    except ValidationError as error:
        faults = [
            FieldFault(".".join(str(part) for part in fault["loc"]) or "settings", fault["msg"])
            for fault in error.errors(include_input=False, include_url=False)
        ]
        raise InvalidInput("The settings are not usable.", errors=faults) from error
    except ValueError as error:  # a TOML file that does not parse
        raise InvalidInput(f"The settings file cannot be read: {error}", field="settings") from error


def faults(settings: Settings) -> list[FieldFault]:
    """What makes these settings unsafe for real people and real incidents. Empty: fit to serve."""
    found: list[FieldFault] = []
    if settings.sms.mode is SmsMode.SIMULATED:
        found.append(FieldFault("sms.mode", "`simulated` reaches nobody; only `tocsin demo` may use it"))
    if settings.smtp.mode is SmtpMode.SIMULATED:
        found.append(FieldFault("smtp.mode", "`simulated` reaches nobody; only `tocsin demo` may use it"))
    if settings.sms.mode is SmsMode.TWILIO:
        found.extend(_twilio_faults(settings.sms))
    if settings.smtp.mode is SmtpMode.SMTP:
        found.extend(_smtp_faults(settings.smtp))
    if settings.sms.mode is SmsMode.NONE and settings.smtp.mode is SmtpMode.NONE:
        found.append(FieldFault("sms.mode", "no channel is set: nobody could be told; set `sms` or `smtp`"))
    if settings.warnings.enabled and not settings.sends_warnings:
        found.append(FieldFault("warnings.enabled", "warnings reach nobody: set `warnings.email` and `smtp`"))
    if settings.warnings.owners and not settings.warnings.email and settings.warnings.enabled is not False:
        found.append(FieldFault("warnings.email", "duties without an owner would warn nobody: name a desk for them"))
    try:
        keys = settings.master_keys().keys.values()
    except InvalidInput as error:
        found.append(FieldFault("vault.master_keys", f"{error.detail} `tocsin init` makes one."))
    else:
        if any(key == DEMO_MASTER_KEY or len(set(key)) < 8 for key in keys):
            found.append(FieldFault("vault.master_keys", "a key is public or far from random; make a new one"))
    if urlsplit(settings.public_url).scheme == "http" and not is_loopback(urlsplit(settings.public_url).hostname):
        found.append(FieldFault("public_url", "plain HTTP on a public address: keys and callbacks would be readable"))
    if not is_loopback(settings.host) and not settings.trusted_proxies:
        found.append(
            FieldFault("host", "listening in clear on a public address: listen on loopback or name trusted_proxies")
        )
    calls_possible = settings.sms.mode is not SmsMode.NONE
    others = (settings.voice, settings.im, settings.letters)
    found.extend(channel_faults(*others, sms_sender=settings.sms.sender, calls_possible=calls_possible))
    found.extend(kafka_faults(settings.kafka))
    found.extend(notifier_faults(settings.bounces, settings.dkim, settings.smtp.sender))
    found.extend(
        provider_faults(
            settings.sms_providers,
            settings.smtp_providers,
            with_sms=settings.sms.mode is SmsMode.TWILIO,
            with_smtp=settings.smtp.mode is SmtpMode.SMTP,
        )
    )
    return found


DEMO_MASTER_KEY = bytes(range(32))
"""The demo's key. Everybody knows it, so `faults` refuses it."""
DEMO_TWILIO_TOKEN = "demo-token-known-to-everybody"  # noqa: S105 - public on purpose, refused outside the demo


def _twilio_faults(sms: SmsSettings) -> list[FieldFault]:
    found = []
    if not sms.account_sid.startswith("AC"):
        found.append(FieldFault("sms.account_sid", "a Twilio account starts with AC"))
    token = sms.auth_token.get_secret_value()
    if not token or token == DEMO_TWILIO_TOKEN:
        found.append(FieldFault("sms.auth_token", "missing, or the demo's public token"))
    if not sms.sender and not sms.messaging_service_sid:
        found.append(FieldFault("sms.sender", "set sender or messaging_service_sid"))
    if urlsplit(sms.base_url).scheme != "https":
        found.append(FieldFault("sms.base_url", "must be https"))
    return found


def _smtp_faults(smtp: SmtpSettings) -> list[FieldFault]:
    found = []
    if not smtp.sender:
        found.append(FieldFault("smtp.sender", "set the From address of notices"))
    if smtp.tls == "none" and not is_loopback(smtp.host):
        found.append(FieldFault("smtp.tls", "mail to another machine must be encrypted"))
    return found
