"""Limits on requests: sizes, depth, headers, time; and the headers every answer carries."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from fastapi import FastAPI
from starlette.types import Message

from incidents.alerts.dialects import nests_deeper
from tests.tocsin.conftest import Client, Door, problem
from tocsin.api.app import create_app
from tocsin.api.json_bodies import MAX_DEPTH
from tocsin.api.middleware import limits
from tocsin.services import Services

MEGABYTE = 1_048_576


class Upload:
    """A body that counts how much of it was taken."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.sent = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self.sent < self.size:
            self.sent += 65_536
            yield b"x" * 65_536


@pytest.mark.parametrize("declared", [True, False], ids=["Content-Length", "chunked"])
def test_an_alert_of_50_mb_is_refused_without_being_read(door: Door, app: FastAPI, declared: bool) -> None:
    upload = Upload(50 * MEGABYTE)
    scope_headers = [(b"authorization", f"Bearer {door.key('siem')}".encode())]
    if declared:
        scope_headers.append((b"content-length", str(50 * MEGABYTE).encode()))
    before = door.events()

    status, headers, body = door.client.portal.call(raw_post, app, "/v1/alerts/wazuh", scope_headers, upload)

    document = json.loads(body)
    assert (status, document["type"]) == (413, "/problems/too-large")
    assert document["errors"][0]["field"] == "body"
    assert headers[b"connection"] == b"close"
    assert upload.sent <= (0 if declared else door.services.settings.intake.max_bytes + 2 * 65_536)
    assert door.events() == before
    assert door.services.metrics.refused.labels(problem="too-large")._value.get() == 1


async def raw_post(
    app: FastAPI, path: str, headers: list[tuple[bytes, bytes]], upload: Upload
) -> tuple[int, dict[bytes, bytes], bytes]:
    """One request over bare ASGI: the body is handed over only as it is asked for."""
    chunks = upload.__aiter__()
    answer: list[Message] = []

    async def receive() -> Message:
        chunk = await anext(chunks, None)
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    async def send(message: Message) -> None:
        answer.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": headers,
        "client": ("203.0.113.9", 1),
        "server": ("127.0.0.1", 8000),
    }
    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in answer[1:])
    return answer[0]["status"], dict(answer[0]["headers"]), body


def test_a_body_that_trickles_is_given_up(door: Door, app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stuck(Upload):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"{"
            await asyncio.Event().wait()

    monkeypatch.setattr(limits, "BASE_SECONDS", 0.05)
    monkeypatch.setattr(limits, "LEAST_BYTES_PER_SECOND", 10**9)
    headers = [(b"authorization", f"Bearer {door.key('siem')}".encode())]

    status, _, body = door.client.portal.call(raw_post, app, "/v1/alerts/wazuh", headers, Stuck(1))

    assert (status, json.loads(body)["type"]) == (408, "/problems/request-timeout")


def test_each_address_has_a_limit_of_its_own(door: Door) -> None:
    note = {"text": "x" * limits.DEFAULT_BYTES}

    document = problem(door.post("/v1/incidents", note), 413, "too-large")

    assert str(limits.DEFAULT_BYTES) in document["detail"]
    csv = b"name,phone,email,language,country\n" + b"\n" * limits.DEFAULT_BYTES
    campaign = "00000000-0000-0000-0000-000000000003"
    answer = door.ask("PUT", f"/v1/campaigns/{campaign}/audience", content=csv, headers={"Content-Type": "text/csv"})
    problem(answer, 404, "not-found")


@pytest.mark.parametrize(("depth", "over"), [(MAX_DEPTH, False), (MAX_DEPTH + 1, True), (100_000, True)])
def test_how_deep_json_nests(depth: int, over: bool) -> None:
    assert nests_deeper(b"[" * depth + b"]" * depth, MAX_DEPTH) is over


def test_brackets_in_texts_do_not_count() -> None:
    assert not nests_deeper(json.dumps({"text": '[{"' * 100 + "\\"}).encode(), MAX_DEPTH)


def test_the_depth_of_escaped_quotes_without_an_end_is_told_at_once() -> None:
    """A search that begins anew at every quote would take hours for this."""
    assert not nests_deeper(b"{}" * 33 + b'"' + b'\\"' * 4_000_000, MAX_DEPTH)


@pytest.mark.parametrize("text", ["\\\\", '\\\\\\"', 'a\\"[', "\\u005b"], ids=repr)
def test_depth_is_counted_behind_texts_with_escapes(text: str) -> None:
    body = f'["{text}",'.encode() + b"[" * MAX_DEPTH + b"]" * (MAX_DEPTH + 1)
    json.loads(body)

    assert nests_deeper(body, MAX_DEPTH)
    assert not nests_deeper(body, MAX_DEPTH + 1)


def test_json_that_is_not_in_utf_8_is_refused(door: Door) -> None:
    body = ('["\\"", ' + "[" * 2_000 + "]" * 2_001).encode("utf-16")

    answer = door.ask("POST", "/v1/incidents", content=body, headers={"Content-Type": "application/json"})

    assert "UTF-8" in problem(answer, 400, "malformed-request")["detail"]


def test_json_that_nests_too_deep_is_refused(door: Door) -> None:
    body = b'{"facts":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"}"

    answer = door.ask("POST", "/v1/incidents", content=body, headers={"Content-Type": "application/json"})

    assert problem(answer, 400, "malformed-request")["errors"][0]["field"] == "body"


def test_too_many_headers_and_too_long_addresses_are_refused(door: Door) -> None:
    problem(door.get("/v1/whoami", headers={f"X-{n}": "x" for n in range(120)}), 431, "headers-too-large")
    problem(door.get("/v1/whoami", headers={"X-Long": "x" * 40_000}), 431, "headers-too-large")
    problem(door.get("/v1/incidents?search=" + "x" * 5_000), 414, "uri-too-long")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "x@127.0.0.1",
        "[::1",
        "0",
    ],
)
def test_requests_for_another_host_are_refused(door: Door, host: str) -> None:
    """A site whose name was made to point here must not read anything through its visitor's browser."""
    for path in ("/", "/v1/incidents", "/openapi.json"):
        answer = door.get(path, headers={"Host": host})

        assert problem(answer, 421, "misdirected")["errors"][0]["field"] == "Host"
    # A page has no key; Prometheus has one, and asks each replica by its address.
    problem(door.get("/metrics", by=None, headers={"Host": host}), 421, "misdirected")
    assert door.get("/metrics", headers={"Host": host}).status_code == 200
    assert door.get("/healthz", by=None, headers={"Host": host}).status_code == 200


def test_a_request_that_names_two_hosts_is_refused(door: Door) -> None:
    answer = door.client.request("GET", "/login", headers=[("Host", "127.0.0.1"), ("Host", "evil.example")])

    problem(answer, 421, "misdirected")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("tocsin.example.com", 200),
        ("TOCSIN.example.com.:443", 200),
        ("board.internal:8080", 200),
        ("localhost:9", 200),
        ("tocsin.localhost", 200),
        ("127.0.0.2", 200),
        ("[::1]:8000", 200),
        ("[2001:DB8::0:7]", 200),
        ("www.example.com", 421),
        ("[2001:db8::8]", 421),
    ],
)
def test_it_answers_to_its_own_names_only(services: Services, host: str, status: int) -> None:
    settings = services.settings.model_copy(
        update={"public_url": "https://tocsin.example.com", "extra_hosts": ("Board.internal", "2001:db8::7")}
    )
    app = create_app(replace(services, settings=settings), show_within=0)
    with start_blocking_portal() as portal:
        client = Client(portal, app)
        assert client.request("GET", "/login", headers={"Host": host}).status_code == status
        client.close()


def test_every_answer_carries_headers_that_protect_a_browser(door: Door) -> None:
    for path, by in (("/v1/whoami", "auditor"), ("/v1/whoami", None), ("/nowhere", None), ("/login", None)):
        headers = door.get(path, by=by).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "strict-transport-security" not in headers


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("build-7f3a9c1e", True),
        ("4f0c7f6e5a3d4c0f9a0b2f6f0a1c3d5e", True),
        ("short", False),
        ("x" * 65, False),
        ("with space here", False),
        ("line\tbreaking", False),
        ("13800138000", False),
    ],
)
def test_a_safe_request_id_is_kept(door: Door, given: str, kept: bool) -> None:
    answer = door.get("/v1/whoami", headers={"X-Request-Id": given})

    assert (answer.headers["x-request-id"] == given) is kept
    assert len(answer.headers["x-request-id"]) >= 8
