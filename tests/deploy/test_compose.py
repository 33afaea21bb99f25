"""compose.yaml: well-formed, closed by default, and speaking of nothing that does not exist."""

from __future__ import annotations

import copy
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from incidents.facts import OrganisationProfile
from tests.deploy.files import DEPLOY, ROOT, command_fault, documents, faults, schema, settings_of, unknown_variables
from tocsin.cli.setup import check
from tocsin.settings import Settings
from tocsin.settings import faults as unsafe

COMPOSE = documents(ROOT / "compose.yaml")[0]
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("tocsin:")]
PROBED = {8000: "api", 8001: "worker"}


def each() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", SERVICES)


@pytest.mark.parametrize(
    "path", [ROOT / "compose.yaml", DEPLOY / "compose" / "mailpit-open.yaml"], ids=lambda p: p.name
)
def test_it_is_what_the_specification_asks_for(path: Path) -> None:
    assert faults(documents(path)[0], schema("compose-spec")) == []


def test_the_check_finds_what_is_wrong() -> None:
    broken = copy.deepcopy(COMPOSE)
    broken["services"]["api"]["read_onyl"] = True
    broken["services"]["api"]["depends_on"] = {"migrate": {"condition": "some_day"}}
    assert len(faults(broken, schema("compose-spec"))) == 2


@each()
def test_a_service_can_do_no_harm(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "cap_add" not in service
    user, group = service["user"].split(":")
    assert int(user) > 0
    assert group.isdigit()
    limits = service["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory", "pids"}
    assert service["restart"] in {"unless-stopped", "on-failure"}
    assert "healthcheck" in service
    assert service["networks"]


@each()
def test_what_it_names_exists(name: str) -> None:
    service = SERVICES[name]

    assert set(service["networks"]) <= set(COMPOSE["networks"])
    assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
    for volume in service.get("volumes", ()):
        source, target, *mode = volume.split(":")
        assert target.startswith("/")
        if source.startswith("./"):
            assert mode == ["ro"], "what comes from the host is only read"
            made_by_prepare = source.startswith("./deploy/config/")
            assert made_by_prepare or (ROOT / source).exists(), source
        else:
            assert source in COMPOSE["volumes"]
    for other, how in service.get("depends_on", {}).items():
        target_service = SERVICES[other]
        if how["condition"] == "service_healthy":
            assert "test" in target_service["healthcheck"]
        else:
            assert how["condition"] == "service_completed_successfully"
            assert target_service["restart"] == "on-failure"
    for variable, value in service.get("environment", {}).items():
        if str(value).startswith("/run/secrets/"):
            assert Path(value).name in service["secrets"], variable


def test_nothing_is_left_over() -> None:
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", ())}
    mounted = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())}
    joined = {network for service in SERVICES.values() for network in service["networks"]}

    assert used == set(COMPOSE["secrets"])
    assert set(COMPOSE["volumes"]) <= mounted
    assert joined == set(COMPOSE["networks"])


@pytest.mark.parametrize("name", OURS)
def test_commands_and_settings_exist(name: str) -> None:
    service = SERVICES[name]

    assert command_fault(service["command"]) is None
    assert unknown_variables(service["environment"]) == []


def test_the_checks_of_commands_and_settings_find_what_is_wrong() -> None:
    assert unknown_variables({"TOCSIN_PROT": "1", "TOCSIN_SMS__SID": "", "TOCSIN_PORT__X": "", "TOCSIN_PORT": 1}) == [
        "TOCSIN_PROT",
        "TOCSIN_SMS__SID",
        "TOCSIN_PORT__X",
    ]
    assert command_fault(["workers"]) is not None
    assert command_fault(["worker", "projectionist"]) is not None
    assert command_fault(["worker"]) is not None


def test_every_role_has_a_service() -> None:
    roles = {service["command"][1] for service in SERVICES.values() if service.get("command", [""])[0] == "worker"}
    assert roles == {"projections", "playbooks", "notifier", "intake", "relay"}
    assert {"migrate", "api", "postgres", "kafka", "mailpit", "prometheus", "grafana"} < set(SERVICES)


def test_only_the_api_and_grafana_are_on_the_host_and_on_loopback_alone() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert set(published) == {"api", "grafana"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)
    assert COMPOSE["networks"]["inside"]["internal"] is True
    outward = {name for name, service in SERVICES.items() if "outward" in service["networks"]}
    assert outward == {"notifier", "playbooks"}, "who calls providers and the heartbeat"


def test_images_are_pinned_and_name_no_registry() -> None:
    for name, service in SERVICES.items():
        image = service["image"]
        repository, _, tag = image.partition(":")
        assert re.fullmatch(r"v?\d+\.\d+(\.\d+)?", tag), image
        assert "." not in repository.split("/")[0], f"{name}: {image} names a host"


def test_secrets_are_files_and_never_variables() -> None:
    for secret in COMPOSE["secrets"].values():
        assert secret["file"].startswith("./deploy/secrets/")
    ignored = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    assert "/deploy/secrets/" in ignored
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|TOKEN|KEY", variable):
                assert str(value).startswith("/run/secrets/"), variable


def test_probes_are_answered() -> None:
    from tocsin.probes import create_probes

    paths = {route.path for route in create_probes(list, lambda: b"").routes}  # type: ignore[attr-defined]
    for name in OURS:
        test = SERVICES[name]["healthcheck"].get("test")
        if test is None:
            assert name == "migrate"
            continue
        found = re.search(r"http://127\.0\.0\.1:(\d+)(/\w+)", test[-1])
        assert found is not None
        command, environment = SERVICES[name]["command"][0], SERVICES[name]["environment"]
        assert PROBED[int(found[1])] == command
        assert command == "api" or environment["TOCSIN_WORKERS__PROBE_PORT"] == found[1]
        assert found[2] in paths


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deploy")
    subprocess.run(["sh", str(DEPLOY / "prepare.sh"), str(folder)], check=True, capture_output=True)
    return folder


def test_every_secret_is_prepared_once_and_never_written_over(prepared: Path) -> None:
    for name, secret in COMPOSE["secrets"].items():
        path = prepared / "secrets" / Path(secret["file"]).name
        assert path.is_file(), name
        assert path.stat().st_size > 0 or name == "prometheus_key"
    assert (prepared / "secrets").stat().st_mode & 0o077 == 0, "others on this machine get no further than the folder"
    assert (prepared / "secrets" / "ca.key").stat().st_mode & 0o077 == 0
    assert "ca.key" not in {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()}
    before = {path: path.read_bytes() for path in prepared.rglob("*") if path.is_file()}
    again = subprocess.run(
        ["sh", str(DEPLOY / "prepare.sh"), str(prepared)], check=True, capture_output=True, text=True
    )
    assert again.stdout == ""
    assert {path: path.read_bytes() for path in prepared.rglob("*") if path.is_file()} == before


def test_certificates_are_good_for_the_names_they_are_asked_by(prepared: Path) -> None:
    for name in ("kafka", "mailpit", "tocsin"):
        command = ["openssl", "verify", "-CAfile", "ca.pem", "-verify_hostname", name, f"{name}.pem"]
        done = subprocess.run(command, cwd=prepared / "secrets", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    keystore = (prepared / "secrets" / "kafka.keystore.pem").read_text()
    assert keystore.index("BEGIN PRIVATE KEY") < keystore.index("BEGIN CERTIFICATE")


def test_the_settings_are_safe_to_serve_with(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the secrets where they are here, `tocsin config check` has nothing to say."""
    text = (DEPLOY / "compose" / "tocsin.toml").read_text("utf-8")
    settings_of(text)
    files = {name: prepared / "secrets" / Path(secret["file"]).name for name, secret in COMPOSE["secrets"].items()}
    for found in re.findall(r"/run/secrets/(\w+)", text):
        assert found in SERVICES["api"]["secrets"], found
        text = text.replace(f'/run/secrets/{found}"', f'{files[found]}"')
    text = text.replace("/etc/tocsin/organisation.toml", str(prepared / "config" / "organisation.toml"))
    path = prepared / "tocsin.toml"
    path.write_text(text)
    monkeypatch.setenv("TOCSIN_CONFIG", str(path))
    for variable, value in SERVICES["api"]["environment"].items():
        if variable != "TOCSIN_CONFIG" and "${" not in value:
            monkeypatch.setenv(variable, value)

    settings = Settings()
    assert unsafe(settings) == []
    assert settings.database_url.startswith("postgresql://tocsin:")
    profile = OrganisationProfile.from_toml(settings.organisation_file.read_text("utf-8"))
    assert profile.incident_contact is not None
    check()


def test_the_front_network_is_where_the_proxy_is_believed() -> None:
    settings = settings_of((DEPLOY / "compose" / "tocsin.toml").read_text("utf-8"))
    (front,) = COMPOSE["networks"]["front"]["ipam"]["config"]

    assert settings["trusted_proxies"] == front["gateway"]
    assert settings["host"] == "0.0.0.0"  # noqa: S104 - inside the container; the host publishes loopback only
    assert "api" in settings["extra_hosts"]


def test_kafka_is_asked_as_it_listens(prepared: Path) -> None:
    lines = (DEPLOY / "compose" / "kafka.properties").read_text("utf-8").splitlines()
    properties = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    settings = settings_of((DEPLOY / "compose" / "tocsin.toml").read_text("utf-8"))

    (server,) = settings["kafka"]["bootstrap_servers"]
    assert properties["advertised.listeners"] == f"TLS://{server}"
    assert properties["listener.security.protocol.map"] == "TLS:SSL,CONTROLLER:PLAINTEXT"
    assert settings["kafka"]["security_protocol"] == "SSL"
    assert properties["ssl.client.auth"] == "required"
    for name in ("ssl.keystore.location", "ssl.truststore.location"):
        assert Path(properties[name]).name in SERVICES["kafka"]["secrets"]
    assert properties["log.dirs"] in {volume.split(":")[1] for volume in SERVICES["kafka"]["volumes"]}
    assert "CONTROLLER://127.0.0.1" in properties["listeners"], "the controller's clear port stays in the container"
