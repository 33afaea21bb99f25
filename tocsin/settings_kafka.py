"""Settings of Kafka and of what goes through it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator
from pydantic_settings import NoDecode

from incidents.errors import FieldFault
from tocsin.settings_section import Section, is_loopback

Broker = Annotated[
    str, StringConstraints(pattern=r"^([A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\]):[0-9]{1,5}$")
]
"""`host:port` (`[::1]:9092` for an IPv6 address)."""
TopicName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
"""A name, or a part of one, as Kafka takes them."""


class KafkaSettings(Section):
    """Kafka: alerts in, events out, and hints that spread work. It may be wiped at any time; the database is the truth.

    tocsin/kafka.py makes the clients of it.
    """

    bootstrap_servers: Annotated[tuple[Broker, ...], NoDecode] = Field(
        (), max_length=50, description="Brokers to start from, as `host:port`; empty: no Kafka."
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How brokers are talked to; in clear only on this machine."
    )
    ca_file: Path | None = Field(
        None, description="Certificates (PEM) that brokers' certificates are checked with, instead of the system's."
    )
    certificate_file: Path | None = Field(None, description="Our certificate (PEM), where brokers ask for one.")
    key_file: Path | None = Field(None, description="Its private key (PEM, without a password).")
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="How we sign in, with a `SASL_*` protocol."
    )
    sasl_username: str = Field("", max_length=200, description="User to sign in as.")
    sasl_password: SecretStr = Field(SecretStr(""), description="Its password. A secret.")
    sasl_password_file: Path | None = Field(None, description="File that holds `sasl_password`.")
    topic_prefix: TopicName = Field(
        "tocsin", description="Topics are `<prefix>.alerts.*`, `<prefix>.events`, `<prefix>.deliveries`."
    )
    group_prefix: TopicName = Field("tocsin", description="Consumer groups are `<prefix>.<role>`.")
    partitions: int = Field(6, ge=1, le=10_000, description="Partitions of topics that Tocsin makes.")
    replication: int = Field(
        -1, ge=-1, le=10, description="Replicas of topics that Tocsin makes; -1: what the brokers are set to."
    )
    batch_alerts: int = Field(
        1000, ge=1, le=10_000, description="Most alerts taken in by one transaction of the database."
    )

    @field_validator("bootstrap_servers", mode="before")
    @classmethod
    def _commas_separate(cls, value: Any) -> Any:
        """`a:9092,b:9092`, as everybody writes it, besides a list."""
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith('["'):  # a JSON list, as other settings take them from variables
            return json.loads(value)
        return [part.strip() for part in value.split(",") if part.strip()]

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.security_protocol.startswith("SASL_") and not (self.sasl_username and self.sasl_password):
            raise ValueError(f"{self.security_protocol} needs sasl_username and sasl_password (or sasl_password_file)")
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file belong together: give both or neither")
        if self.replication == 0:
            raise ValueError("replication is at least 1, or -1 for what the brokers are set to")
        return self

    @property
    def is_set(self) -> bool:
        """Whether there is a Kafka at all."""
        return bool(self.bootstrap_servers)


class RelaySettings(Section):
    """Publishing every event of the record to Kafka, where `kafka` is set."""

    source: str = Field(
        "",
        max_length=500,
        pattern=r"^$|^[a-z][a-z0-9+.-]*:[^\s\"\\]+$",
        description="URI that names this installation in its events; empty: `public_url`. Not to be changed later.",
    )
    mode: Literal["structured", "binary"] = Field(
        "structured", description="CloudEvents with attributes in the value (`structured`) or in headers (`binary`)."
    )
    compression: Literal["gzip", "none"] = Field("gzip", description="How messages are compressed.")
    retention_days: int = Field(
        30, ge=0, le=36_500, description="How long a topic that Tocsin makes keeps events; 0: for ever."
    )
    max_event_bytes: int = Field(
        16 * 1_048_576, ge=1_048_576, le=32 * 1_048_576, description="Largest message a topic that Tocsin makes takes."
    )
    when_wiped: Literal["replay", "stop"] = Field(
        "replay",
        description="When Kafka lost what was published: send the record again from its beginning, or wait for "
        "`tocsin relay reset`.",
    )


def kafka_faults(kafka: KafkaSettings) -> list[FieldFault]:
    """What would let others read along, or cannot work."""
    found = []
    elsewhere = [broker for broker in kafka.bootstrap_servers if not is_loopback(_host_of(broker))]
    if elsewhere and kafka.security_protocol in {"PLAINTEXT", "SASL_PLAINTEXT"}:
        protocol = "SASL_SSL" if kafka.security_protocol == "SASL_PLAINTEXT" else "SSL or SASL_SSL"
        found.append(
            FieldFault(
                "kafka.security_protocol", f"alerts to and from {elsewhere[0]} would be readable: use {protocol}"
            )
        )
    for name in ("ca_file", "certificate_file", "key_file"):
        path: Path | None = getattr(kafka, name)
        if path is not None and not path.is_file():
            found.append(FieldFault(f"kafka.{name}", f"there is no file {path}"))
    return found


def _host_of(broker: str) -> str:
    return broker.rpartition(":")[0].strip("[]")
