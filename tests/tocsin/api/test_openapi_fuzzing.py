"""Requests made up from the OpenAPI document: no answer is a fault of ours, and all have the form promised."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.tocsin.api.test_campaigns_api import GOOD, values
from tests.tocsin.api.test_duties_api import FACTS
from tests.tocsin.conftest import Door
from tocsin.access.roles import Role

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

EXAMPLES = 15
HOST = {"Host": "127.0.0.1:8000"}
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture
def known(door: Door) -> dict[str, str]:
    """Things that exist, by the part of an address that names them."""
    incident = door.report("Customer table copied", facts=FACTS)["id"]
    door.post(f"/v1/incidents/{incident}/transitions", {"transition": "triage"})
    door.settle()
    run = door.post(f"/v1/incidents/{incident}/runs", {"playbook": "personal-data-breach"}).json()["id"]
    body = {"template": "personal-data-breach", "values": values()}
    campaign = door.post(f"/v1/incidents/{incident}/campaigns", body).json()["campaign_id"]
    csv = {"content": GOOD, "headers": {"Content-Type": "text/csv"}}
    assert door.ask("PUT", f"/v1/campaigns/{campaign}/audience", **csv).status_code == 200
    door.settle()
    duty = door.get(f"/v1/incidents/{incident}/duties").json()["items"][0]["duty_id"]
    asset = {"name": "Share", "owner": {"name": "IT"}, "classification": "core", "data_classes": ["health"]}
    party = door.post("/v1/parties", {"name": "Cloud Ltd", "direction": "upstream"}).json()["id"]
    contact = {"purpose": "incidents", "contact": {"name": "Desk", "email": "desk@cloud.example"}}
    return {
        "asset": door.post("/v1/assets", asset).json()["id"],
        "party": party,
        "contact": door.post(f"/v1/parties/{party}/contacts", contact).json()["contacts"][0]["contact"],
        "incident": incident,
        "run": run,
        "campaign": campaign,
        "duty": duty,
        "step": "contain",
        "scheme": "cn-2025",
        "dialect": "wazuh",
    }


def operations(schema: Any) -> Iterator[Any]:
    for result in schema.get_all_operations():
        yield result.ok()


def test_whatever_comes_no_answer_is_a_fault_of_ours(door: Door, known: dict[str, str]) -> None:
    schema = schemathesis.openapi.from_asgi("/openapi.json", door.client.app, headers=HOST)
    headers = {**HOST, "Authorization": f"Bearer {door.key(*Role)}"}
    tried = 0

    for operation in operations(schema):

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(), real=st.sampled_from([True, True, True, False]))
        def send(case: Any, real: bool) -> None:
            nonlocal tried
            if real:
                for name in case.path_parameters or {}:
                    case.path_parameters[name] = known.get(name, case.path_parameters[name])
                # Made-up keys repeat; most commands must get past them.
                for name in ("Idempotency-Key", "If-Match"):
                    (case.headers or {}).pop(name, None)
            response = case.call(headers=headers)
            case.validate_response(response, checks=CHECKS)
            tried += 1

        send()

    assert tried > 50 * EXAMPLES / 3
    door.settle()
    assert door.get(f"/v1/incidents/{known['incident']}").status_code == 200
