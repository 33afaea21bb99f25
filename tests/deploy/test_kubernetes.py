"""The manifests: what the API server takes, closed by default, and speaking of nothing that does not exist."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from tests.deploy.files import DEPLOY, command_fault, documents, faults, schema, settings_of, unknown_variables
from tocsin.probes import create_probes

FOLDER = DEPLOY / "kubernetes"
KUSTOMIZATION = documents(FOLDER / "kustomization.yaml")[0]
OBJECTS = [document for name in KUSTOMIZATION["resources"] for document in documents(FOLDER / name)]
SECRET_NAME = "tocsin"


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in OBJECTS if one["kind"] == kind}


PODS = {name: one["spec"]["template"] for kind in ("Deployment", "Job") for name, one in of_kind(kind).items()}


def named(one: dict[str, Any]) -> str:
    return f"{one['kind']} {one['metadata']['name']}"


def schema_of(kind: str) -> dict[str, Any]:
    whole = schema("kubernetes")
    return {"$defs": whole["$defs"], "$ref": f"#/$defs/{whole['kinds'][kind]}"}


@pytest.mark.parametrize("one", OBJECTS, ids=named)
def test_it_is_what_the_api_server_takes(one: dict[str, Any]) -> None:
    assert faults(one, schema_of(one["kind"])) == []
    for needed in ("apiVersion", "kind", "metadata"):
        assert one[needed]


def test_the_check_finds_what_is_wrong() -> None:
    broken = copy.deepcopy(of_kind("Deployment")["api"])
    broken["spec"]["template"]["spec"]["containers"][0]["securityContext"]["runAsNonRot"] = True
    broken["spec"]["replicas"] = "two"
    assert len(faults(broken, schema_of("Deployment"))) == 2


def test_every_file_is_listed_and_every_name_is_one_thing() -> None:
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert files == set(KUSTOMIZATION["resources"])
    names = [named(one) for one in OBJECTS]
    assert len(names) == len(set(names))
    (namespace,) = of_kind("Namespace")
    assert KUSTOMIZATION["namespace"] == namespace


@pytest.mark.parametrize("name", PODS)
def test_a_pod_can_do_no_harm(name: str) -> None:
    spec = PODS[name]["spec"]
    context = spec["securityContext"]

    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] >= 10000
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert "hostNetwork" not in spec
    for container in spec["containers"]:
        own = container["securityContext"]
        assert own["allowPrivilegeEscalation"] is False
        assert own["readOnlyRootFilesystem"] is True
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert set(container["resources"]) == {"requests", "limits"}
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("name", PODS)
def test_what_it_names_exists(name: str) -> None:
    spec = PODS[name]["spec"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}

    assert spec["serviceAccountName"] in of_kind("ServiceAccount")
    for container in spec["containers"]:
        assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
        assert command_fault(container["args"]) is None
        assert unknown_variables({one["name"]: one.get("value") for one in container["env"]}) == []
        image = container["image"]
        assert image in {f"{one['name']}:{one['newTag']}" for one in KUSTOMIZATION["images"]}
    for volume in volumes.values():
        if "configMap" in volume:
            assert volume["configMap"]["name"] in of_kind("ConfigMap")
        if "secret" in volume:
            assert volume["secret"]["secretName"] == SECRET_NAME


def test_secrets_are_references_and_nowhere_written() -> None:
    assert not of_kind("Secret")
    text = (FOLDER / "config.yaml").read_text("utf-8")
    settings = settings_of(of_kind("ConfigMap")["tocsin"]["data"]["tocsin.toml"])
    for section in (settings, *(value for value in settings.values() if isinstance(value, dict))):
        for key in section:
            assert not re.fullmatch(r"(auth_token|password|master_keys|sasl_password|headers|heartbeat_url)", key)
    docs = (DEPLOY.parent / "docs" / "deploy.md").read_text("utf-8")
    for name in re.findall(r"/run/secrets/([\w.-]+)", text):
        assert f"--from-file={name}=" in docs, f"docs/deploy.md does not say how {name} gets into the Secret"


def test_probes_ask_what_is_answered() -> None:
    paths = {route.path for route in create_probes(list, lambda: b"").routes}  # type: ignore[attr-defined]
    settings = settings_of(of_kind("ConfigMap")["tocsin"]["data"]["tocsin.toml"])
    for name, deployment in of_kind("Deployment").items():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        wanted = settings["port"] if name == "api" else settings["workers"]["probe_port"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = container[probe]["httpGet"]
            assert asked["path"] in paths
            assert ports[asked["port"]] == wanted
        assert container["livenessProbe"]["httpGet"]["path"] == "/healthz", "a database away is no reason to restart"
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_labels_select_what_they_are_meant_to() -> None:
    labels = {name: pod["metadata"]["labels"] for name, pod in PODS.items()}

    def selected(by: dict[str, str]) -> set[str]:
        return {name for name, own in labels.items() if by.items() <= own.items()}

    for name, deployment in of_kind("Deployment").items():
        assert selected(deployment["spec"]["selector"]["matchLabels"]) == {name}
        (spread,) = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert selected(spread["labelSelector"]["matchLabels"]) == {name}
    budgets = of_kind("PodDisruptionBudget")
    assert set(budgets) == set(of_kind("Deployment"))
    for name, budget in budgets.items():
        assert selected(budget["spec"]["selector"]["matchLabels"]) == {name}
        assert of_kind("Deployment")[name]["spec"]["replicas"] > budget["spec"]["maxUnavailable"]
    (service,) = of_kind("Service").values()
    assert selected(service["spec"]["selector"]) == {"api"}
    for scaler in of_kind("HorizontalPodAutoscaler").values():
        assert scaler["spec"]["scaleTargetRef"]["name"] in of_kind("Deployment")
        assert scaler["spec"]["minReplicas"] <= scaler["spec"]["maxReplicas"]


def test_the_ingress_leads_to_the_api_by_its_public_name() -> None:
    (ingress,) = of_kind("Ingress").values()
    (service,) = of_kind("Service").values()
    (rule,) = ingress["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    settings = settings_of(of_kind("ConfigMap")["tocsin"]["data"]["tocsin.toml"])

    assert settings["public_url"] == f"https://{rule['host']}"
    assert ingress["spec"]["tls"][0]["hosts"] == [rule["host"]]
    assert path["backend"]["service"]["name"] == service["metadata"]["name"]
    assert path["backend"]["service"]["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}


def test_nobody_speaks_to_anybody_unless_it_is_allowed() -> None:
    policies = of_kind("NetworkPolicy")
    closed = policies["nothing-by-default"]["spec"]

    assert closed == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    (outward,) = policies["outward"]["spec"]["podSelector"]["matchExpressions"]
    assert set(outward["values"]) == {"notifier", "playbooks"}
    listened = {
        port["containerPort"]
        for deployment in of_kind("Deployment").values()
        for container in deployment["spec"]["template"]["spec"]["containers"]
        for port in container["ports"]
    }
    opened = {
        port["port"]
        for policy in policies.values()
        for rule in policy["spec"].get("ingress", ())
        for port in rule["ports"]
    }
    assert opened == listened


def test_every_role_runs_twice_so_that_one_may_go() -> None:
    args = {tuple(pod["spec"]["containers"][0]["args"]) for pod in PODS.values()}
    roles = ("projections", "playbooks", "notifier", "intake", "relay")
    assert args == {("api",), ("migrate",), *(("worker", role) for role in roles)}
    assert all(one["spec"]["replicas"] >= 2 for one in of_kind("Deployment").values())
