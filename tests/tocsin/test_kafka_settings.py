"""How Kafka is reached: settings that hold together, in clear on this machine only, TLS and SASL for real."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kafka.errors import KafkaTimeoutError

from incidents.errors import InvalidInput
from tests.servers import Security, kafka, own_kafka
from tests.world import PATIENCE
from tocsin.kafka import Kafka, KafkaError, Topics
from tocsin.settings import Settings, faults, load_settings
from tocsin.settings_kafka import KafkaSettings


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith("TOCSIN_") and not name.startswith("TOCSIN_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def kafka_faults(settings: Settings) -> set[str]:
    return {fault.field for fault in faults(settings) if fault.field.startswith("kafka")}


def test_without_brokers_there_is_no_kafka(elsewhere: Path) -> None:
    settings = load_settings()

    assert not settings.kafka.is_set
    assert kafka_faults(settings) == set()
    with pytest.raises(InvalidInput, match="bootstrap_servers"):
        Kafka(settings.kafka, "test")


def test_brokers_come_from_a_variable_with_commas_or_as_a_list(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = ("kafka1.example.com:9093", "[::1]:9092")
    for written in ("kafka1.example.com:9093, [::1]:9092", '["kafka1.example.com:9093", "[::1]:9092"]'):
        monkeypatch.setenv("TOCSIN_KAFKA__BOOTSTRAP_SERVERS", written)

        assert load_settings().kafka.bootstrap_servers == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"bootstrap_servers": ["kafka"]},
        {"bootstrap_servers": ["http://kafka:9092"]},
        {"topic_prefix": "to csin"},
        {"security_protocol": "SASL_SSL"},
        {"security_protocol": "SASL_SSL", "sasl_username": "tocsin"},
        {"certificate_file": "client.pem"},
        {"replication": 0},
        {"batch_alerts": 0},
    ],
)
def test_what_does_not_hold_together_is_refused(elsewhere: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_settings(kafka=wrong)

    assert caught.value.errors[0].field.startswith("kafka")


@pytest.mark.parametrize(
    ("change", "faulty"),
    [
        ({"bootstrap_servers": ["kafka.example.com:9092"]}, {"kafka.security_protocol"}),
        (
            {
                "bootstrap_servers": ["127.0.0.1:1", "10.0.0.5:9092"],
                "security_protocol": "SASL_PLAINTEXT",
                "sasl_username": "u",
                "sasl_password": "p",
            },
            {"kafka.security_protocol"},
        ),
        ({"bootstrap_servers": ["127.0.0.1:9092", "[::1]:9092", "localhost:9092"]}, set()),
        ({"bootstrap_servers": ["kafka.example.com:9093"], "security_protocol": "SSL"}, set()),
        (
            {"bootstrap_servers": ["kafka:9093"], "security_protocol": "SSL", "ca_file": "nowhere.pem"},
            {"kafka.ca_file"},
        ),
    ],
)
def test_alerts_leave_the_machine_encrypted_or_not_at_all(
    elsewhere: Path, change: dict[str, Any], faulty: set[str]
) -> None:
    assert kafka_faults(load_settings(kafka=change)) == faulty


def test_the_password_is_read_from_its_file_and_never_shown(elsewhere: Path) -> None:
    (elsewhere / "password").write_text("very-secret\n")
    sasl = {"security_protocol": "SASL_SSL", "sasl_username": "u", "sasl_password_file": "password"}

    settings = load_settings(kafka={"bootstrap_servers": ["127.0.0.1:9093"], **sasl})

    assert Kafka(settings.kafka, "test").connection()["sasl_plain_password"] == "very-secret"
    assert "very-secret" not in repr(settings)


def test_alerts_come_in_by_every_topic_of_the_prefix_but_dead_letters() -> None:
    import re

    topics = Topics("site.a")
    matches = re.compile(topics.alerts_pattern).match

    assert matches("site.a.alerts.wazuh")
    assert matches("site.a.alerts.wazuh.frankfurt")
    assert matches("site.a.alerts.dead-letter-office")
    assert not matches("site.a.alerts.dead-letter")
    assert not matches("siteXa.alerts.wazuh")
    assert not matches("site.a.events")
    assert topics.source_of("site.a.alerts.wazuh.frankfurt") == "wazuh.frankfurt"


@pytest.mark.slow
def test_a_topic_is_made_once_with_what_was_asked_for() -> None:
    client = Kafka(KafkaSettings(bootstrap_servers=(kafka(),), topic_prefix=f"made{os.getpid()}"), "test")

    assert client.make_topic(client.topics.events, partitions=3, retention_ms="-1")
    assert not client.make_topic(client.topics.events)

    consumer = client.consumer(None)
    try:
        assert consumer.partitions_for_topic(client.topics.events) == {0, 1, 2}
    finally:
        consumer.close()


@pytest.mark.slow
def test_no_topic_comes_to_be_by_being_asked_for() -> None:
    """These brokers make a topic, with one partition, for every client that asks for it and does not say no."""
    client = Kafka(KafkaSettings(bootstrap_servers=(kafka(),), topic_prefix=f"asked{os.getpid()}"), "test")
    asked = client.topics.deliveries
    consumer, producer = client.consumer("check"), client.producer(max_block_ms=500)
    try:
        assert not consumer.partitions_for_topic(asked)
        consumer.subscribe([asked])
        assert not consumer.poll(timeout_ms=500)
        with pytest.raises(KafkaTimeoutError):
            producer.send(asked, b"too early").get(5)
        with closing(client.admin()) as admin:
            assert asked not in admin.list_topics()
        assert client.make_topic(asked, partitions=3), "there is none"
    finally:
        producer.close(1)
        consumer.close()


@dataclass(frozen=True)
class Certificates:
    authority: Path
    """The certificate that signed the others."""
    server: Path
    client: Path
    client_key: Path


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    authority_key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)

    def sign(name: str, key: ec.EllipticCurvePrivateKey, *, authority: bool = False) -> bytes:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        )
        return builder.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def private(key: ec.EllipticCurvePrivateKey) -> bytes:
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        return key.private_bytes(encoding, form, serialization.NoEncryption())

    authority = sign("test authority", authority_key, authority=True)
    server_key, client_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    found = Certificates(*(folder / name for name in ("ca.pem", "server.pem", "client.pem", "client.key")))
    found.authority.write_bytes(authority)
    found.server.write_bytes(private(server_key) + sign("broker", server_key) + authority)
    found.client.write_bytes(sign("tocsin", client_key))
    found.client_key.write_bytes(private(client_key))
    return found


def passes_a_message(client: Kafka) -> bool:
    """Whether a message goes in and comes out again."""
    producer, consumer = client.producer(), client.consumer("check", metadata_max_age_ms=500)
    try:
        client.make_topic("check", partitions=1)
        producer.send("check", b"here").get(PATIENCE)
        consumer.subscribe(["check"])
        records = consumer.poll(timeout_ms=int(1000 * PATIENCE))
        return [record.value for batch in records.values() for record in batch] == [b"here"]
    finally:
        producer.close(5)
        consumer.close()


@pytest.mark.slow
@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"])
def test_tls_and_a_password_against_a_real_broker(certificates: Certificates, tmp_path: Path, mechanism: str) -> None:
    security = Security(certificates.server, certificates.authority, mechanism, users={"tocsin": "right"})
    with own_kafka(tmp_path, security=security) as broker:
        right = KafkaSettings(
            bootstrap_servers=(broker.bootstrap,),
            security_protocol="SASL_SSL",
            ca_file=certificates.authority,
            sasl_mechanism=mechanism,  # type: ignore[arg-type]
            sasl_username="tocsin",
            sasl_password="right",  # type: ignore[arg-type]
        )

        assert passes_a_message(Kafka(right, "test"))
        with pytest.raises(KafkaError):
            Kafka(KafkaSettings(**{**right.model_dump(), "sasl_password": "wrong"}), "test").producer(
                bootstrap_timeout_ms=3_000
            )
        with pytest.raises(KafkaError):  # a broker nobody vouches for is not talked to
            Kafka(KafkaSettings(**{**right.model_dump(), "ca_file": None}), "test").producer(bootstrap_timeout_ms=3_000)


@pytest.mark.slow
def test_a_certificate_of_ours_where_the_broker_asks_for_one(certificates: Certificates, tmp_path: Path) -> None:
    security = Security(certificates.server, certificates.authority, asks_for_certificate=True)
    with own_kafka(tmp_path, security=security) as broker:
        without = KafkaSettings(
            bootstrap_servers=(broker.bootstrap,), security_protocol="SSL", ca_file=certificates.authority
        )
        ours = {"certificate_file": certificates.client, "key_file": certificates.client_key}

        assert passes_a_message(Kafka(KafkaSettings(**{**without.model_dump(), **ours}), "test"))
        with pytest.raises(KafkaError):
            Kafka(without, "test").producer(bootstrap_timeout_ms=3_000)


def test_certificates_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    settings = KafkaSettings(
        bootstrap_servers=("127.0.0.1:9093",), security_protocol="SSL", ca_file=tmp_path / "ca.pem"
    )

    with pytest.raises(InvalidInput) as caught:
        Kafka(settings, "test").connection()

    assert caught.value.errors[0].field == "kafka.ca_file"
