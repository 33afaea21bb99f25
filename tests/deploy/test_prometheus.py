"""Alerts and dashboard ask for metrics that exist, join them as they must be joined, and say what to do."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from incidents.record.database import open_engine
from tests.deploy.files import DEPLOY, ROOT, documents
from tocsin.observability.measured import MEASURED
from tocsin.observability.metrics import Metrics

RULES = documents(DEPLOY / "prometheus" / "alerts.yml")[0]
ALERTS: list[dict[str, Any]] = [rule for group in RULES["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "tocsin.json").read_text("utf-8"))
SCRAPE = documents(DEPLOY / "prometheus" / "prometheus.yml")[0]
COMPOSE = documents(ROOT / "compose.yaml")[0]
SCRAPED = {"up"}
"""What Prometheus itself adds."""
FROM_SCRAPE = {"instance", "job", "role"}

LABELS_OF = re.compile(r"\{([^}]*)\}")


def metrics() -> dict[str, set[str]]:
    """Names as Prometheus has them, with their labels."""
    found = {name: set(gauged.labels) for name, gauged in MEASURED.items()}
    engine = open_engine("sqlite://")
    ours = Metrics(engine)
    for collector in vars(ours).values():
        match collector:
            case Histogram():
                for end, more in (("_bucket", {"le"}), ("_count", set()), ("_sum", set())):
                    found[_name(collector) + end] = set(collector._labelnames) | more
            case Counter():
                found[f"{_name(collector)}_total"] = set(collector._labelnames)
            case Gauge():
                found[_name(collector)] = set(collector._labelnames)
    found["tocsin_database_connections"] = {"state"}
    found["tocsin_database_connections_most"] = set()
    engine.dispose()
    return found


def _name(metric: MetricWrapperBase) -> str:
    name: str = metric._name
    return name


KNOWN = metrics()


def panels() -> Iterator[dict[str, Any]]:
    yield from (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


def expressions() -> list[tuple[str, str]]:
    found = [(alert["alert"], alert["expr"]) for alert in ALERTS]
    return found + [(panel["title"], target["expr"]) for panel in panels() for target in panel["targets"]]


@pytest.mark.parametrize(("where", "expression"), expressions())
def test_every_metric_and_label_exists(where: str, expression: str) -> None:
    names = re.findall(r"\b(?:tocsin_[a-z0-9_]+|up)\b(?!\()", re.sub(r'"[^"]*"', '""', expression))

    assert names, where
    assert set(names) <= KNOWN.keys() | SCRAPED
    for name, matchers in re.findall(r"\b(tocsin_[a-z0-9_]+)\{([^}]*)\}", expression):
        asked = set(re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', '""', matchers)))
        assert asked <= KNOWN[name] | FROM_SCRAPE, f"{name} has no label {asked - KNOWN[name]}"
    grouped = {
        label.strip() for labels in re.findall(r"\bby \(([^)]*)\)", expression) for label in labels.split(",") if label
    }
    known = set().union(*(KNOWN.get(name, set()) for name in names)) | FROM_SCRAPE
    assert grouped <= known, f"{where}: {grouped - known}"


@pytest.mark.parametrize(("where", "expression"), expressions())
def test_what_all_processes_measure_alike_is_never_added_up(where: str, expression: str) -> None:
    for name in MEASURED:
        for found in re.finditer(rf"\b{name}\b", expression):
            before = expression[: found.start()]
            opened = re.findall(r"\b(max_over_time|max|absent|sum|rate|increase)\b[^()]*(?:\([^()]*\)\s*)?\(", before)
            assert opened, f"{where}: {name} of many processes is not joined"
            assert opened[-1] in {"max", "max_over_time", "absent"}, f"{where}: {opened[-1]} over {name}"


@pytest.mark.parametrize(("where", "expression"), expressions())
def test_counters_are_looked_at_as_rates(where: str, expression: str) -> None:
    for name in (name for name in KNOWN if name.endswith(("_total", "_bucket"))):
        for found in re.finditer(rf"\b{name}\b(?:\{{[^}}]*\}})?(\[\w+\])?", expression):
            assert found[1], f"{where}: {name} without a range"
            assert re.search(r"(rate|increase)\($", expression[: found.start()]), f"{where}: {name}"


def test_every_alert_says_how_loud_it_is_and_what_to_do() -> None:
    operate = (ROOT / "docs" / "operate.md").read_text("utf-8")
    anchors = {re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.+)$", operate, re.M)}

    assert len({alert["alert"] for alert in ALERTS}) == len(ALERTS) > 15
    for alert in ALERTS:
        assert alert["labels"]["severity"] in {"page", "ticket"}
        assert alert["annotations"]["summary"]
        page, _, anchor = alert["annotations"]["runbook"].partition("#")
        assert page == "docs/operate.md"
        assert anchor in anchors, anchor


def test_there_is_an_alert_for_everything_that_must_not_go_unseen() -> None:
    asked = " ".join(alert["expr"] for alert in ALERTS)
    for name in (
        "tocsin_open_duties",
        "tocsin_open_duties_by_time_left",
        "tocsin_follower_lag_seconds",
        "tocsin_relay_lag_seconds",
        "tocsin_ready",
        "tocsin_dead_letters_total",
        "tocsin_recipients",
        "tocsin_campaigns_in_trouble",
        "tocsin_watchdog_last_look_timestamp_seconds",
        "tocsin_last_backup_timestamp_seconds",
    ):
        assert name in asked


def test_the_summaries_speak_of_labels_that_are_there() -> None:
    for alert in ALERTS:
        spoken = set(re.findall(r"\$labels\.(\w+)", alert["annotations"]["summary"]))
        if "by (" in alert["expr"]:
            kept = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", alert["expr"]))))
            assert spoken <= kept, alert["alert"]
        elif re.match(r"\s*(max|sum)\(", alert["expr"]):
            assert not spoken, alert["alert"]


def test_the_dashboard_is_whole() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    places: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & places, f"{panel['title']} covers another"
        places |= cells
    sources = documents(DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yml")[0]["datasources"]
    known = {source["uid"] for source in sources}
    for panel in panels():
        assert panel["title"]
        assert panel["targets"]
        assert {panel["datasource"]["uid"]} | {t["datasource"]["uid"] for t in panel["targets"]} <= known


def test_the_dashboard_is_provisioned_from_where_it_is_mounted() -> None:
    (provider,) = documents(DEPLOY / "grafana" / "provisioning" / "dashboards" / "tocsin.yml")[0]["providers"]
    grafana = COMPOSE["services"]["grafana"]
    targets = {volume.split(":")[1]: volume.split(":")[0] for volume in grafana["volumes"]}

    assert targets[provider["options"]["path"]] == "./deploy/grafana/dashboards"
    assert targets["/etc/grafana/provisioning"] == "./deploy/grafana/provisioning"
    (source,) = documents(DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yml")[0]["datasources"]
    assert source["url"] == "http://prometheus:9090"


def test_prometheus_asks_every_process() -> None:
    services = COMPOSE["services"]
    workers = {name for name, one in services.items() if one.get("command", [""])[0] == "worker"}
    jobs = {job["job_name"]: job for job in SCRAPE["scrape_configs"]}

    (names,) = [config["names"] for config in jobs["tocsin-workers"]["dns_sd_configs"]]
    assert set(names) == workers
    (asked,) = jobs["tocsin-workers"]["dns_sd_configs"]
    assert str(asked["port"]) == services["notifier"]["environment"]["TOCSIN_WORKERS__PROBE_PORT"]
    assert jobs["tocsin-api"]["static_configs"][0]["targets"] == ["api:8000"]
    key = Path(jobs["tocsin-api"]["authorization"]["credentials_file"])
    assert key.name in services["prometheus"]["secrets"]
    assert [(DEPLOY / "prometheus" / name).is_file() for name in SCRAPE["rule_files"]] == [True]


def test_promtool_agrees(tmp_path: Path) -> None:
    """A second opinion where Prometheus' own tool is installed; everything it says is covered above in part."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    rules = DEPLOY / "prometheus" / "alerts.yml"
    done = subprocess.run([promtool, "check", "rules", str(rules)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
