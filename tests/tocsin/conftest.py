"""What the tests of the front door share: services over a fresh database, a door, keys of each role."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import structlog
import structlog.testing
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient, Response

from incidents.clock import ManualClock
from incidents.facts import OrganisationProfile
from tocsin.access.roles import Role
from tocsin.api.app import create_app
from tocsin.background import Background
from tocsin.services import Services
from tocsin.settings import Settings
from tocsin.wiring import open_services

MASTER_KEY = base64.b64encode(bytes(range(7, 39))).decode()
PROFILE = OrganisationProfile.parse(
    {
        "name": "Lantern Bank",
        "names": {"zh-Hans": "灯笼银行", "vi": "Ngân hàng Đèn Lồng"},
        "roles": ["controller"],
        "countries": ["CN"],
        "languages": ["zh-Hans", "en"],
        "time_zone": "Asia/Shanghai",
        "incident_contact": {
            "name": "Incident desk",
            "names": {"zh-Hans": "事件处置组"},
            "email": "desk@lantern.example",
        },
    }
)


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[Any]]:
    """What was logged, as events; nothing is rendered."""
    with structlog.testing.capture_logs() as entries:
        yield entries


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return Settings(
        database_url=database_url,
        organisation_file=tmp_path / "organisation.toml",
        vault={"master_keys": f"k1:{MASTER_KEY}"},  # type: ignore[arg-type]
    )


@pytest.fixture
def services(settings: Settings, clock: ManualClock) -> Iterator[Services]:
    with open_services(settings, clock=clock, profile=PROFILE) as opened:
        yield opened


@pytest.fixture
def app(services: Services) -> FastAPI:
    return create_app(services, show_within=0)


@pytest.fixture
def door(app: FastAPI, services: Services) -> Iterator[Door]:
    with start_blocking_portal() as portal:
        client = Client(portal, app)
        yield Door(client, services)
        client.close()


class Client:
    """A blocking client of an application in this process."""

    def __init__(self, portal: BlockingPortal, app: FastAPI, address: str = "203.0.113.9") -> None:
        self.portal = portal
        self.app = app
        transport = ASGITransport(app, raise_app_exceptions=False, client=(address, 50000))
        self._client = AsyncClient(transport=transport, base_url="http://127.0.0.1:8000")

    def request(self, method: str, path: str, **rest: Any) -> Response:
        return self.portal.call(lambda: self._client.request(method, path, **rest))

    def close(self) -> None:
        self.portal.call(self._client.aclose)


@dataclass
class Door:
    """The API as its users meet it. A key of each role is made when first asked for."""

    client: Client
    services: Services
    _keys: dict[str, str] = field(default_factory=dict)

    def key(self, *roles: str) -> str:
        name = "-".join(sorted(roles))
        if name not in self._keys:
            _, self._keys[name] = self.services.keys.create(name, roles, created_by="user:test")
        return self._keys[name]

    def ask(self, method: str, path: str, *, by: str | tuple[str, ...] | None = Role.ANALYST, **rest: Any) -> Response:
        """One request; `by` names the roles of the key it is sent with (None: without a key)."""
        headers = dict(rest.pop("headers", {}))
        if by is not None:
            headers["Authorization"] = f"Bearer {self.key(*((by,) if isinstance(by, str) else by))}"
        return self.client.request(method, path, headers=headers, **rest)

    def get(self, path: str, **rest: Any) -> Response:
        return self.ask("GET", path, **rest)

    def post(self, path: str, body: Any = None, **rest: Any) -> Response:
        return self.ask("POST", path, json={} if body is None else body, **rest)

    def report(self, title: str = "Customer export on a public share", **body: Any) -> dict[str, Any]:
        """A new incident."""
        answer = self.post("/v1/incidents", {"title": title, **body}, headers={"Idempotency-Key": str(uuid4())})
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def settle(self) -> None:
        """Do what the background workers do, sending left out."""
        background = Background(self.services)
        while not background.is_settled():
            for follower in background.followers:
                follower.drain()
        self.services.projections.drain()

    def events(self) -> int:
        """How many events are on record."""
        return self.services.record.head()


def problem(answer: Response, status: int, code: str) -> dict[str, Any]:
    """The problem document in an answer, checked for its form."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert set(document) == {"type", "title", "status", "detail", "instance", "errors", "request_id"}
    assert document["type"] == f"/problems/{code}"
    assert document["status"] == status
    assert document["request_id"] == answer.headers["x-request-id"]
    assert all(set(error) == {"field", "reason"} for error in document["errors"])
    return document
