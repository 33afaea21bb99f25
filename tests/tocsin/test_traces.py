"""From an alert to a delivery is one trace, whoever works on it; requests and messages are linked to it; and nothing
personal is in any span."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from uuid import UUID, uuid4

import pytest
from anyio.from_thread import start_blocking_portal
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from incidents.clock import ManualClock
from incidents.errors import InvalidInput
from incidents.privacy import find_contacts
from incidents.reference import reference_of
from incidents.tracing import INCIDENT, beginning_of, link_to, say, span, traceparent_of
from notifier.campaigns.campaign import Campaign, CampaignStatus
from notifier.channels.drill import DrillChannel
from notifier.deliveries import counters
from playbooks.runs.run import Run
from tests.conftest import ContextMaker
from tests.tocsin.conftest import PROFILE, Client, Door
from tests.tocsin.spans import Spans, recorded_spans
from tests.tocsin.test_background import FACTS, words
from tests.world import wait_for
from tocsin import sending
from tocsin.api.app import create_app
from tocsin.bridges import campaign_of_step
from tocsin.observability import traces
from tocsin.observability.propagation import is_chosen, trace_of
from tocsin.observability.traces import ByTrace, sending_traces
from tocsin.settings import Settings, TracesSettings
from tocsin.wiring import open_services

pytestmark = pytest.mark.slow

PEOPLE = (("Anna Weber", "anna.weber@example.org", "en"), ("李小华", "xiaohua.li@example.org", "zh-Hans"))
CSV = "name,phone,email,language,country\n" + "".join(f"{n},,{e},{tag},DE\n" for n, e, tag in PEOPLE)
DETECTOR = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ALERT = files("tocsin.story").joinpath("alert.wazuh.json").read_bytes()


@pytest.fixture
def spans() -> Iterator[Spans]:
    with recorded_spans() as recorded:
        yield recorded


@pytest.fixture
def night(
    settings: Settings, clock: ManualClock, spans: Spans, monkeypatch: pytest.MonkeyPatch, analyst: ContextMaker
) -> tuple[Spans, UUID]:
    """An alert by HTTP from a traced detector, facts, an approved notice, two mails that go nowhere."""
    monkeypatch.setattr(sending, "_channels", lambda *_: {"email": DrillChannel("email")})
    with open_services(settings, clock=clock, profile=PROFILE) as services, start_blocking_portal() as portal:
        door = Door(Client(portal, create_app(services, show_within=0)), services)
        answer = door.ask(
            "POST",
            "/v1/alerts/wazuh",
            by="siem",
            content=ALERT,
            headers={"traceparent": DETECTOR, "Content-Type": "application/json"},
        )
        assert answer.status_code == 202, answer.text
        incident_id = UUID(answer.json()["incident_id"])
        moved = door.post(f"/v1/incidents/{incident_id}/transitions", {"transition": "triage", "comment": "Real."})
        assert moved.status_code == 200, moved.text
        facts = door.post(f"/v1/incidents/{incident_id}/facts", {"facts": FACTS, "source": "query log"})
        assert facts.status_code == 200, facts.text
        door.settle()
        campaign_id = _approve(door, incident_id, analyst, ContextMaker(clock, "user:qiang"))
        door.settle()
        engine = services.notifier.engine

        def told() -> bool | None:
            portal.call(engine.run_once)
            found = counters(services.engine, campaign_id) or {}
            return True if sum(found.values()) - found.get("open", 0) == len(PEOPLE) else None

        wait_for(told, "everybody to be told")
        portal.call(engine.close)
        door.client.close()
    return spans, incident_id


def _approve(door: Door, incident_id: UUID, author: ContextMaker, second: ContextMaker) -> UUID:
    services = door.services
    run_id = Run.id_for(incident_id, "personal-data-breach")
    campaign_id = campaign_of_step(services.record, run_id, "draft-notice")
    assert campaign_id is not None
    audience = services.audiences.import_csv(io.BytesIO(CSV.encode()), author())
    services.campaigns.attach_audience(author(), campaign_id, audience.audience_id)
    values = services.record.load(Campaign, campaign_id).values
    services.campaigns.revise_text(author(), campaign_id, {**values, **words()})
    services.campaigns.request_approval(author(), campaign_id)
    door.settle()
    view = services.campaigns.view(campaign_id)
    services.campaigns.approve(
        second(), campaign_id, text_digest=view.text_digest, audience_digest=view.audience_digest
    )
    door.settle()
    assert services.record.load(Campaign, campaign_id).status is CampaignStatus.STARTED
    return campaign_id


def test_one_trace_reaches_from_the_alert_to_the_deliveries(night: tuple[Spans, UUID]) -> None:
    spans, incident_id = night
    trace = spans.of_trace(incident_id.int)

    names = [one.name for one in trace]
    assert {"incident.declared", "automation", "campaign-bridge", "notifier.sending", "delivery"} <= set(names)
    assert names.count("incident.declared") == 1
    assert names.count("delivery") == len(PEOPLE)
    assert all(attributes(one)[INCIDENT] == reference_of(incident_id) for one in trace)
    own = {one.get_span_context().span_id for one in trace}
    roots = [one for one in trace if one.parent is None]
    assert [one.name for one in roots] == ["incident.declared"]
    assert all(one.parent.span_id in own for one in trace if one.parent is not None), "no parent is missing"
    sent = [one for one in trace if one.name == "delivery"]
    assert {attributes(one)["tocsin.channel"] for one in sent} == {"email"}
    assert all("tocsin.outcome" in attributes(one) for one in sent)
    handled = {attributes(one).get("tocsin.event") for one in trace}
    assert {"incident.facts-stated", "run.step-started", "campaign.approved", "campaign.started"} <= handled


def test_the_detectors_trace_and_the_incidents_lead_to_each_other(night: tuple[Spans, UUID]) -> None:
    spans, incident_id = night
    (request,) = spans.named("POST /v1/alerts/{dialect}")
    (intake,) = spans.named("alert.intake")
    (root,) = spans.named("incident.declared")

    detector = link_to(DETECTOR)[0].context
    assert request.parent is not None
    assert (request.parent.trace_id, request.parent.span_id) == (detector.trace_id, detector.span_id)
    assert intake.get_span_context().trace_id == detector.trace_id
    assert [link.context.span_id for link in root.links] == [intake.get_span_context().span_id]
    assert [link.context.trace_id for link in intake.links] == [incident_id.int]
    (facts,) = spans.named("POST /v1/incidents/{incident}/facts")
    assert attributes(facts)[INCIDENT] == reference_of(incident_id)
    assert incident_id.int in {link.context.trace_id for link in facts.links}


def test_nothing_personal_and_nothing_typed_is_in_any_span(night: tuple[Spans, UUID]) -> None:
    spans, _ = night
    text = "\n".join(one.to_json() for one in spans.all())

    for name, email, _language in PEOPLE:
        assert name not in text
        assert email not in text
    assert not find_contacts(text)
    assert "url.path" not in text
    for typed in ("Real.", "query log", "Change your password", "stolen password"):
        assert typed not in text


def test_the_trace_of_an_incident_is_its_id_and_needs_nothing_stored(spans: Spans) -> None:
    incident_id = uuid4()
    first = beginning_of(incident_id)

    assert f"{first.trace_id:032x}" == incident_id.hex
    assert traceparent_of(incident_id) == f"00-{incident_id.hex}-{first.span_id:016x}-01"
    assert link_to(traceparent_of(incident_id))[0].context.span_id == first.span_id
    assert first.span_id != beginning_of(uuid4()).span_id


@pytest.mark.parametrize(
    "given", [None, "", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", DETECTOR + "x" * 500]
)
def test_what_is_no_traceparent_links_to_nothing(given: str | None) -> None:
    assert link_to(given) == []


def test_an_error_is_told_by_its_name_only(spans: Spans) -> None:
    with pytest.raises(ValueError, match="anna"), span("work"):
        raise ValueError("anna.weber@example.org is unknown")

    (failed,) = spans.named("work")
    assert failed.status.description == "ValueError"
    assert failed.events == ()


def test_the_last_gate_masks_what_looks_like_a_contact(spans: Spans) -> None:
    with span("work", {"tocsin.to": "anna.weber@example.org"}):
        say(number="+49 151 23456789")

    (one,) = spans.named("work")
    assert attributes(one)["tocsin.to"] == "[email]"
    assert "23456789" not in one.to_json()


def test_published_events_carry_the_trace_of_their_incident() -> None:
    incident_id = uuid4()
    address = "http://127.0.0.1:4318/v1/traces"

    assert trace_of(TracesSettings(endpoint=address))(incident_id) == traceparent_of(incident_id)
    for nobody in (TracesSettings(), TracesSettings(endpoint=address, share=0.0)):
        said = trace_of(nobody)(incident_id)
        assert said[:-2] == traceparent_of(incident_id)[:-2]
        assert said.endswith("-00"), "nobody is told of spans that were never sent"


def test_a_share_keeps_whole_incidents_whatever_a_caller_wishes() -> None:
    ids = [uuid4().int for _ in range(4000)]
    kept = [one for one in ids if is_chosen(one, 0.25)]

    assert 800 < len(kept) < 1200
    assert all(is_chosen(one, 0.5) for one in kept)
    assert all(is_chosen(one, 1.0) for one in ids)
    assert not any(is_chosen(one, 0.0) for one in ids)
    sampler = ByTrace(0.25)
    wished = [sampler.should_sample(None, one, "x").decision.is_sampled() for one in ids]
    assert sum(wished) == len(kept)


def test_without_the_extra_the_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "_HAS_SDK", False)
    with (
        pytest.raises(InvalidInput, match=r"tocsin\[traces\]") as refused,
        sending_traces(TracesSettings(endpoint="http://127.0.0.1:9/v1/traces"), role="api", process="api-1"),
    ):
        pass
    assert refused.value.errors[0].field == "traces.endpoint"
    with sending_traces(TracesSettings(), role="api", process="api-1"):
        pass  # nothing is asked of what is not there


def test_the_rooms_need_no_sdk() -> None:
    program = (
        "import sys\n"
        "class No:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter')): raise ImportError(name)\n"
        "sys.meta_path.insert(0, No())\n"
        "import tocsin.wiring, tocsin.background, tocsin.observability.traces as t\n"
        "print(t._HAS_SDK)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("endpoint", ["collector:4318", "file:///tmp/x", "http://"])
def test_an_endpoint_is_an_address(endpoint: str) -> None:
    with pytest.raises(ValueError, match="endpoint must start with"):
        TracesSettings(endpoint=endpoint)


def test_what_waits_is_sent_at_the_end() -> None:
    exporter = InMemorySpanExporter()
    provider = traces.provider_of(TracesSettings(), exporter, role="notifier", process="notifier-1")
    with provider.get_tracer("tocsin").start_as_current_span("work"):
        pass
    provider.force_flush()

    (one,) = exporter.get_finished_spans()
    assert one.resource.attributes["tocsin.role"] == "notifier"
    assert one.resource.attributes["service.instance.id"] == "notifier-1"
    provider.shutdown()


def attributes(one: ReadableSpan) -> dict[str, object]:
    return dict(one.attributes or {})
