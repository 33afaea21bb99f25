"""Every route, every role: who may do what, as one table."""

from __future__ import annotations

import itertools
from uuid import UUID

import pytest
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from tests.tocsin.conftest import Door, problem
from tocsin.access.roles import PERMISSIONS, Permission, Role

READ = Permission.READ
HANDLE = Permission.HANDLE_INCIDENTS
PREPARE = Permission.PREPARE_NOTICES
DECIDE = Permission.DECIDE_DUTIES
APPROVE = Permission.APPROVE
KEYS = Permission.MANAGE_KEYS
ERASE = Permission.ERASE_PEOPLE
HISTORY = Permission.READ_HISTORY
ALERTS = Permission.POST_ALERTS
ANY = "any key"
NONE = "no key"

TABLE: dict[tuple[str, str], Permission | str] = {
    ("GET", "/v1/campaigns/{campaign}/genuine"): READ,
    ("GET", "/v1/notices/{code}"): READ,
    ("GET", "/v1/incidents/{incident}/public-notices"): READ,
    ("POST", "/v1/incidents/{incident}/public-notices"): PREPARE,
    ("GET", "/v1/public-notices/{notice}"): READ,
    ("GET", "/v1/campaigns/{campaign}/letter-batches"): READ,
    ("POST", "/v1/campaigns/{campaign}/letter-batches"): PREPARE,
    ("POST", "/v1/letter-batches/{batch}/export/{part}"): Permission.READ_HISTORY,
    ("POST", "/v1/letter-batches/{batch}/statement"): PREPARE,
    ("PUT", "/v1/public-notices/{notice}/text"): PREPARE,
    ("POST", "/v1/public-notices/{notice}/approval-request"): PREPARE,
    ("POST", "/v1/public-notices/{notice}/publication"): APPROVE,
    ("POST", "/v1/public-notices/{notice}/rejection"): APPROVE,
    ("POST", "/v1/public-notices/{notice}/dismissal"): DECIDE,
    ("POST", "/v1/alerts/{dialect}"): ALERTS,
    ("GET", "/v1/suppressions"): READ,
    ("POST", "/v1/suppressions"): PREPARE,
    ("POST", "/v1/suppressions/search"): PREPARE,
    ("POST", "/v1/suppressions/{suppression}/lifting"): APPROVE,
    ("POST", "/v1/campaigns/{campaign}/suppression-override"): APPROVE,
    ("POST", "/v1/receipts/twilio/inbound"): NONE,
    ("POST", "/v1/receipts/twilio/keypress"): NONE,
    ("POST", "/v1/alerts/{dialect}/batch"): ALERTS,
    ("GET", "/v1/alerts"): READ,
    ("POST", "/v1/incidents"): HANDLE,
    ("GET", "/v1/incidents"): READ,
    ("GET", "/v1/incidents/{incident}"): READ,
    ("POST", "/v1/incidents/{incident}/facts"): HANDLE,
    ("POST", "/v1/incidents/{incident}/transitions"): HANDLE,
    ("POST", "/v1/incidents/{incident}/notes"): HANDLE,
    ("POST", "/v1/incidents/{incident}/assignee"): HANDLE,
    ("POST", "/v1/incidents/{incident}/merge"): HANDLE,
    ("POST", "/v1/incidents/{incident}/grades/{scheme}"): HANDLE,
    ("POST", "/v1/assets"): HANDLE,
    ("GET", "/v1/assets"): READ,
    ("GET", "/v1/assets/{asset}"): READ,
    ("PUT", "/v1/assets/{asset}"): HANDLE,
    ("POST", "/v1/assets/{asset}/retire"): HANDLE,
    ("GET", "/v1/incidents/{incident}/assets"): READ,
    ("POST", "/v1/incidents/{incident}/assets"): HANDLE,
    ("POST", "/v1/parties"): HANDLE,
    ("GET", "/v1/parties"): READ,
    ("GET", "/v1/parties/{party}"): READ,
    ("GET", "/v1/parties/{party}/contacts"): HANDLE,
    ("POST", "/v1/parties/{party}/contacts"): HANDLE,
    ("GET", "/v1/parties/{party}/contacts/{contact}"): HANDLE,
    ("PUT", "/v1/parties/{party}/contacts/{contact}"): HANDLE,
    ("POST", "/v1/parties/{party}/contacts/{contact}/confirmation"): HANDLE,
    ("POST", "/v1/parties/{party}/contacts/{contact}/erasure"): HANDLE,
    ("POST", "/v1/parties/{party}/retire"): HANDLE,
    ("GET", "/v1/incidents/{incident}/timeline"): READ,
    ("GET", "/v1/incidents/{incident}/tasks"): READ,
    ("GET", "/v1/incidents/{incident}/runs"): READ,
    ("GET", "/v1/incidents/{incident}/recovery"): READ,
    ("GET", "/v1/incidents/{incident}/alerts"): READ,
    ("GET", "/v1/incidents/{incident}/campaigns"): READ,
    ("GET", "/v1/incidents/{incident}/duties"): READ,
    ("POST", "/v1/incidents/{incident}/duties/{duty}/waiver"): DECIDE,
    ("DELETE", "/v1/incidents/{incident}/duties/{duty}/waiver"): DECIDE,
    ("POST", "/v1/incidents/{incident}/duties/{duty}/filing"): DECIDE,
    ("POST", "/v1/incidents/{incident}/duties/{duty}/acknowledgement"): HANDLE,
    ("POST", "/v1/incidents/{incident}/duties/{duty}/assignment"): HANDLE,
    ("DELETE", "/v1/incidents/{incident}/duties/{duty}/assignment"): HANDLE,
    ("GET", "/v1/incidents/{incident}/delays"): READ,
    ("POST", "/v1/incidents/{incident}/delays"): DECIDE,
    ("POST", "/v1/incidents/{incident}/delays/{delay}/end"): DECIDE,
    ("GET", "/v1/owners"): READ,
    ("GET", "/v1/incidents/{incident}/duties/{duty}/filing-draft"): READ,
    ("GET", "/v1/incidents/{incident}/duties/{duty}/filing-form"): READ,
    ("POST", "/v1/incidents/{incident}/duties/{duty}/filing-items"): HANDLE,
    ("POST", "/v1/incidents/{incident}/duties/{duty}/filing-approval"): DECIDE,
    ("POST", "/v1/duties/simulate"): READ,
    ("POST", "/v1/incidents/{incident}/runs"): HANDLE,
    ("GET", "/v1/playbooks"): READ,
    ("GET", "/v1/runs/{run}"): READ,
    ("POST", "/v1/runs/{run}/steps/{step}/complete"): HANDLE,
    ("POST", "/v1/runs/{run}/steps/{step}/skip"): HANDLE,
    ("POST", "/v1/incidents/{incident}/campaigns"): PREPARE,
    ("GET", "/v1/campaigns"): READ,
    ("GET", "/v1/campaigns/{campaign}"): READ,
    ("PUT", "/v1/campaigns/{campaign}/text"): PREPARE,
    ("PUT", "/v1/campaigns/{campaign}/audience"): PREPARE,
    ("PUT", "/v1/campaigns/{campaign}/audience-choice"): PREPARE,
    ("GET", "/v1/campaigns/{campaign}/preview"): READ,
    ("POST", "/v1/campaigns/{campaign}/approval-request"): PREPARE,
    ("POST", "/v1/campaigns/{campaign}/approval"): APPROVE,
    ("POST", "/v1/campaigns/{campaign}/rejection"): APPROVE,
    ("GET", "/v1/campaigns/{campaign}/coverage"): READ,
    ("GET", "/v1/campaigns/{campaign}/forecast"): READ,
    ("GET", "/v1/campaigns/{campaign}/progress"): READ,
    ("POST", "/v1/campaigns/{campaign}/pause"): APPROVE,
    ("POST", "/v1/campaigns/{campaign}/resumption"): APPROVE,
    ("POST", "/v1/campaigns/{campaign}/cancellation"): APPROVE,
    ("GET", "/v1/campaigns/{campaign}/audience/rows"): READ,
    ("DELETE", "/v1/recipients/{recipient}"): ERASE,
    ("POST", "/v1/history/search"): HISTORY,
    ("POST", "/v1/campaigns/{campaign}/test-mails"): PREPARE,
    ("POST", "/v1/campaigns/{campaign}/history-file"): HISTORY,
    ("GET", "/v1/board"): READ,
    ("GET", "/v1/deadlines"): READ,
    ("GET", "/v1/recovery"): READ,
    ("POST", "/v1/receipts/twilio"): NONE,
    ("GET", "/v1/whoami"): ANY,
    ("POST", "/v1/keys"): KEYS,
    ("GET", "/v1/keys"): KEYS,
    ("DELETE", "/v1/keys/{key_id}"): KEYS,
    ("GET", "/v1/events/schemas"): READ,
    ("GET", "/v1/events/schemas/{name}"): READ,
    ("GET", "/v1/schemas/facts"): READ,
    ("GET", "/v1/schemas/organisation"): READ,
    ("GET", "/v1/schemas/playbook"): READ,
    ("GET", "/healthz"): NONE,
    ("GET", "/readyz"): NONE,
    ("GET", "/metrics"): READ,
}

PARTS = {
    "notice": str(UUID(int=9)),
    "batch": str(UUID(int=10)),
    "part": "letters",
    "suppression": str(UUID(int=5)),
    "delay": str(UUID(int=8)),
    "code": "7K3M9QX-2ABCDEF",
    "name": "incident.reported.v1",
    "dialect": "wazuh",
    "incident": str(UUID(int=1)),
    "run": str(UUID(int=2)),
    "campaign": str(UUID(int=3)),
    "asset": str(UUID(int=4)),
    "party": str(UUID(int=5)),
    "recipient": str(UUID(int=7)),
    "contact": str(UUID(int=6)),
    "duty": "some-rule:authority:initial",
    "step": "contain",
    "scheme": "cn-2025",
    "key_id": "0123456789",
}


def test_every_route_is_in_the_table(app: FastAPI) -> None:
    document = get_openapi(title="", version="1", routes=app.routes)
    routes = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}

    assert routes == set(TABLE)


@pytest.mark.parametrize("role", list(Role))
def test_a_role_may_do_what_the_table_says_and_nothing_else(door: Door, role: Role) -> None:
    for (method, template), needed in TABLE.items():
        path = template.format(**PARTS)
        answer = door.ask(method, path, by=role)
        if isinstance(needed, Permission) and needed not in PERMISSIONS[role]:
            problem(answer, 403, "forbidden")
        else:
            assert answer.status_code not in {401, 403} or needed == NONE, f"{role} {method} {template}"


def test_without_a_key_everything_but_health_and_receipts_is_closed(door: Door) -> None:
    for (method, template), needed in TABLE.items():
        answer = door.ask(method, template.format(**PARTS), by=None)
        if needed != NONE:
            problem(answer, 401, "not-authenticated")
            assert answer.headers["www-authenticate"].startswith("Bearer")


def test_no_single_role_both_writes_and_approves() -> None:
    for role, held in PERMISSIONS.items():
        for pair in itertools.product((HANDLE, PREPARE), (APPROVE, KEYS, ERASE)):
            assert not held.issuperset(pair), role


def test_a_detector_can_post_alerts_and_nothing_else(door: Door) -> None:
    allowed = {
        key for key, needed in TABLE.items() if isinstance(needed, Permission) and needed in PERMISSIONS[Role.SIEM]
    }

    assert allowed == {("POST", "/v1/alerts/{dialect}"), ("POST", "/v1/alerts/{dialect}/batch")}
