"""Liveness, readiness, metrics, schemas, and the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from sqlalchemy.exc import OperationalError

from incidents.errors import FieldFault
from tests.tocsin.conftest import Client, Door, problem
from tocsin import readiness
from tocsin.api.app import create_app
from tocsin.services import Services


def test_it_lives_and_is_ready(door: Door) -> None:
    door.settle()

    assert door.get("/healthz", by=None).json() == {"status": "ok"}
    assert door.get("/readyz", by=None).json() == {"status": "ready"}


@pytest.fixture
def ailing(services: Services) -> Iterator[Door]:
    """A door with a worker that ended."""
    app = create_app(services, show_within=0, probes={"workers": lambda: "these workers have ended: sender"})
    with start_blocking_portal() as portal:
        client = Client(portal, app)
        yield Door(client, services)
        client.close()


def test_a_dead_worker_makes_it_unready_with_the_reason(ailing: Door) -> None:
    answer = ailing.get("/readyz", by=None)

    document = problem(answer, 503, "unavailable")
    assert document["errors"] == [{"field": "workers", "reason": "these workers have ended: sender"}]
    assert answer.headers["retry-after"]
    assert ailing.get("/healthz", by=None).status_code == 200


def test_what_requests_do_not_depend_on_is_noted(services: Services, door: Door) -> None:
    door.settle()
    app = create_app(services, notes=lambda: [FieldFault("event-relay", "Kafka does not take events")])
    with start_blocking_portal() as portal:
        client = Client(portal, app)
        answer = Door(client, services).get("/readyz", by=None)
        client.close()
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    assert answer.json()["notes"] == [{"part": "event-relay", "reason": "Kafka does not take events"}]


def test_a_lagging_read_model_makes_it_unready(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    door.settle()
    monkeypatch.setattr(readiness, "MAX_LAG", 3)
    for _ in range(4):
        door.report()

    document = problem(door.get("/readyz", by=None), 503, "unavailable")

    assert {error["reason"] for error in document["errors"]} == {"is 4 events behind"}


def test_a_database_that_cannot_be_written_makes_it_unready(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_args: Any) -> None:
        raise OperationalError("BEGIN", {}, Exception("attempt to write a readonly database at /srv/data"))

    monkeypatch.setattr(readiness, "writing", away)

    answer = door.get("/readyz", by=None)

    assert problem(answer, 503, "unavailable")["errors"][0]["field"] == "database"
    assert "/srv/data" not in answer.text


def test_metrics_are_for_this_machine_or_for_readers(door: Door) -> None:
    problem(door.get("/metrics", by=None), 401, "not-authenticated")
    shown = door.get("/metrics", by="auditor")
    assert shown.headers["content-type"].startswith("text/plain")
    assert 'tocsin_refused_total{problem="not-authenticated"} 1.0' in shown.text
    assert 'tocsin_requests_total{method="GET",route="/metrics",status="401"} 1.0' in shown.text

    local = Client(door.client.portal, door.client.app, address="127.0.0.1")
    assert local.request("GET", "/metrics").status_code == 200
    proxied = local.request("GET", "/metrics", headers={"X-Forwarded-For": "198.51.100.7"})
    assert proxied.status_code == 401
    local.close()


def test_requests_are_counted_by_route_not_by_address(door: Door) -> None:
    incident = door.report()["id"]
    door.get(f"/v1/incidents/{incident}")
    door.get("/v1/whatever/13800138000", by=None)

    text = door.get("/metrics", by="auditor").text

    assert 'route="/v1/incidents/{incident}"' in text
    assert 'route="unmatched"' in text
    assert incident not in text
    assert "13800138000" not in text


def test_schemas_are_served(door: Door) -> None:
    for name in ("facts", "organisation", "playbook"):
        schema = door.get(f"/v1/schemas/{name}").json()
        assert schema["type"] == "object"
    assert "persons_affected" in door.get("/v1/schemas/facts").json()["properties"]


def test_the_openapi_document_describes_every_refusal(door: Door) -> None:
    document = door.get("/openapi.json", by=None).json()

    assert document["openapi"].startswith("3.1")
    assert "Problem" in document["components"]["schemas"]
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    tags = {tag["name"] for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert set(operation["tags"]) <= tags, path
            assert operation["summary"], path
            if path.startswith("/v1") and not path.startswith("/v1/receipts/twilio"):
                assert operation["security"] == [{"key": []}], path
                assert {"401", "403", "422"} <= set(operation["responses"]), f"{method} {path}"
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    schema = response["content"]["application/problem+json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/Problem"}, f"{path} {status}"
