"""Settings come from file and environment, name every fault, and refuse what is unsafe for real people."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from typer.testing import CliRunner

from incidents.errors import InvalidInput
from tocsin.cli.main import app
from tocsin.docs import pages
from tocsin.settings import DEMO_MASTER_KEY, DEMO_TWILIO_TOKEN, Settings, faults, load_settings

KEY = f"k1:{base64.b64encode(os.urandom(32)).decode()}"
SAFE: dict[str, Any] = {
    "public_url": "https://tocsin.example.com",
    "vault": {"master_keys": KEY},
    "smtp": {"mode": "smtp", "host": "mail.example.com", "sender": "incident@example.com"},
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No file or variable of the machine decides a test."""
    for name in list(os.environ):
        if name.startswith("TOCSIN_") and not name.startswith("TOCSIN_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fields(settings: Settings) -> set[str]:
    return {fault.field for fault in faults(settings)}


def test_a_safe_configuration_has_no_fault() -> None:
    assert faults(load_settings(**SAFE)) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"sms": {"mode": "simulated"}}, "sms.mode"),
        ({"smtp": {"mode": "simulated"}}, "smtp.mode"),
        ({"smtp": {"mode": "none"}}, "sms.mode"),
        ({"smtp": {"mode": "smtp", "host": "mail.example.com"}}, "smtp.sender"),
        ({"smtp": {**SAFE["smtp"], "tls": "none"}}, "smtp.tls"),
        ({"vault": {}}, "vault.master_keys"),
        ({"vault": {"master_keys": "k1:c2hvcnQ="}}, "vault.master_keys"),
        ({"vault": {"master_keys": f"k:{base64.b64encode(DEMO_MASTER_KEY).decode()}"}}, "vault.master_keys"),
        ({"vault": {"master_keys": f"k:{base64.b64encode(bytes(32)).decode()}"}}, "vault.master_keys"),
        ({"public_url": "http://tocsin.example.com"}, "public_url"),
        ({"host": "0.0.0.0"}, "host"),  # noqa: S104 - that it is refused is the point
        ({"sms": {"mode": "twilio", "auth_token": DEMO_TWILIO_TOKEN}}, "sms.auth_token"),
        ({"sms": {"mode": "twilio", "base_url": "http://api.twilio.com"}}, "sms.base_url"),
    ],
)
def test_what_is_unsafe_is_named(change: dict[str, Any], field: str) -> None:
    assert field in fields(load_settings(**{**SAFE, **change}))


@pytest.mark.parametrize("proxies", ["*", "10.0.0.1, *", "0.0.0.0/0", "::/0", "proxy.example.com", "10.0.0.1/8"])
def test_only_named_proxies_are_believed(proxies: str) -> None:
    """Whoever is believed says who the caller is; `*` would let any caller in as a local one."""
    with pytest.raises(InvalidInput) as caught:
        load_settings(**SAFE, trusted_proxies=proxies)

    assert caught.value.errors[0].field == "trusted_proxies"


def test_proxies_are_named_by_address_or_network() -> None:
    settings = load_settings(**SAFE, host="0.0.0.0", trusted_proxies="127.0.0.1, 10.0.0.0/24,fd00::/64")  # noqa: S104

    assert faults(settings) == []


@pytest.mark.parametrize("name", ["*", "https://tocsin.example", "tocsin.example:8000", "", "a/b"])
def test_extra_hosts_are_plain_names(name: str) -> None:
    with pytest.raises(InvalidInput):
        load_settings(**SAFE, extra_hosts=[name])


def test_variables_go_before_the_file(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (elsewhere / "tocsin.toml").write_text('port = 8100\n[sms]\nsender = "+15550100"\n')
    monkeypatch.setenv("TOCSIN_PORT", "8200")
    monkeypatch.setenv("TOCSIN_SMS__ACCOUNT_SID", "AC1")

    settings = load_settings()

    assert (settings.port, settings.sms.sender, settings.sms.account_sid) == (8200, "+15550100", "AC1")


def test_a_secret_is_read_from_the_file_that_is_named(elsewhere: Path) -> None:
    (elsewhere / "key").write_text(KEY + "\n")
    (elsewhere / "tocsin.toml").write_text('[vault]\nmaster_keys_file = "key"\n')

    assert load_settings().master_keys().current == "k1"


def test_a_secret_given_twice_is_refused(elsewhere: Path) -> None:
    (elsewhere / "key").write_text(KEY)

    with pytest.raises(InvalidInput) as caught:
        load_settings(vault={"master_keys": KEY, "master_keys_file": "key"})

    assert "not both" in caught.value.errors[0].reason


@pytest.mark.parametrize(
    ("toml", "field"),
    [
        ("port = 99999", "port"),
        ("prot = 8000", "prot"),
        ('[smtp]\ntls = "maybe"', "smtp.tls"),
        ('[vault]\nmaster_keys_file = "nowhere"', "vault"),
        ("port = [", "settings"),
    ],
)
def test_a_wrong_setting_is_named(elsewhere: Path, toml: str, field: str) -> None:
    (elsewhere / "tocsin.toml").write_text(toml)

    with pytest.raises(InvalidInput) as caught:
        load_settings()

    assert caught.value.errors[0].field == field


def test_no_secret_is_shown(elsewhere: Path) -> None:
    settings = load_settings(**{**SAFE, "sms": {"mode": "twilio", "auth_token": "very-secret"}})

    assert "very-secret" not in repr(settings)
    assert KEY not in repr(settings)


def test_the_generated_pages_are_current() -> None:
    docs = Path(__file__).parents[2] / "docs"
    for name, text in pages().items():
        assert (docs / name).read_text("utf-8") == text, f"docs/{name} is stale: run `make docs`"


RSA_PEM = rsa.generate_private_key(65537, 2048).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"bounces": {"address": "b@bounces.example.com"}}, "bounces.imap_host"),
        ({"bounces": {"smtp_port": 2525}}, "bounces.address"),
        ({"bounces": {"address": "b@bounces.example.com", "imap_host": "imap.example.com"}}, "bounces.imap_username"),
        ({"dkim": {"domain": "example.com", "selector": "s1", "key": "nonsense"}}, "dkim.key"),
        ({"dkim": {"domain": "example.com", "selector": "s 1", "key": RSA_PEM.decode()}}, "dkim.selector"),
        ({"dkim": {"domain": "other.example", "selector": "s1", "key": RSA_PEM.decode()}}, "dkim.domain"),
    ],
)
def test_what_would_not_come_back_or_not_be_believed_is_named(change: dict[str, Any], field: str) -> None:
    assert field in fields(load_settings(**{**SAFE, **change}))


def test_mail_that_is_signed_and_comes_back_is_safe() -> None:
    bounces = {"address": "b@bounces.example.com", "smtp_port": 2525}
    signed = {"domain": "example.com", "selector": "s1", "key": RSA_PEM.decode()}
    assert faults(load_settings(**{**SAFE, "bounces": bounces, "dkim": signed})) == []


@pytest.mark.parametrize(
    "bounces", [{"address": "nobody"}, {"address": "a+b@example.com"}, {"smtp_certificate_file": "x.pem"}]
)
def test_bounce_settings_that_cannot_be_are_refused(bounces: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        load_settings(**{**SAFE, "bounces": bounces})


def test_the_record_to_publish_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dkim.pem").write_bytes(RSA_PEM)
    for name, value in (("DOMAIN", "example.com"), ("SELECTOR", "s1"), ("KEY_FILE", str(tmp_path / "dkim.pem"))):
        monkeypatch.setenv(f"TOCSIN_DKIM__{name}", value)
    answer = CliRunner().invoke(app, ["config", "dkim"])
    assert answer.exit_code == 0, answer.output
    assert answer.output.startswith('s1._domainkey.example.com. TXT "v=DKIM1; k=rsa; p=')
    assert "PRIVATE" not in answer.output
