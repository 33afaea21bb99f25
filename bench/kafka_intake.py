"""Alerts in from Kafka: from the topic to recorded incidents, against a bare consumer that parses the same JSON.

Both read one partition of one topic with the same client and the same size of polls, in this process and one thread.
The bare side calls `json.loads` and forgets; it has no finding to make, nothing to mask, to deduplicate, to correlate
or to save, and no database. `python -m bench.kafka_intake --profile` shows where our time goes.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine

from bench import postgres
from bench.kafka_relay import broker
from bench.rounds import Comparison, Work, compare
from bench.streams import REGISTRY
from incidents.alerts.intake import AlertIntake
from incidents.alerts.tables import SqlFindingsStore
from incidents.clock import SystemClock
from incidents.record import Record, open_record
from incidents.record.database import open_engine
from tocsin.alert_consumer import build_consumer
from tocsin.kafka import Kafka
from tocsin.migrations.run import upgrade
from tocsin.observability.metrics import Metrics
from tocsin.settings import Settings
from tocsin.settings_kafka import KafkaSettings

AIM = 0.4
PER_INCIDENT = 40
"""Alerts that belong to one incident: detectors repeat themselves."""
POLL = 1_000
SEED = 20261122
JOIN_SECONDS = 20.0


@dataclass(frozen=True)
class Installation:
    """What the consumer needs of the services."""

    settings: Settings
    record: Record
    engine: Engine
    intake: AlertIntake
    clock: SystemClock = field(default_factory=SystemClock)
    metrics: Metrics = field(default_factory=Metrics)


def on_sqlite(folder: Path, alerts: int, runs: int) -> Comparison:
    """With the incidents in a SQLite file."""
    return _measure("SQLite", lambda: f"sqlite:///{folder / f'{uuid4().hex}.sqlite'}", alerts, runs)


def on_postgresql(_folder: Path, alerts: int, runs: int) -> Comparison:
    """With the incidents in PostgreSQL."""
    return _measure("PostgreSQL", postgres.fresh_database, alerts, runs)


def _measure(name: str, database: Callable[[], str], alerts: int, runs: int) -> Comparison:
    database()  # what is missing is found before anything is sent
    prefix = _sent(alerts)
    return compare(
        f"Kafka to incidents on {name}",
        aim=AIM,
        ours=lambda _run: _ours(database(), prefix, alerts),
        bare=lambda _run: _bare(prefix, alerts),
        runs=runs,
    )


def _ours(url: str, prefix: str, alerts: int) -> Work:
    consumer = build_consumer(_installation(url, prefix))

    def work() -> int:
        done = 0
        while done < alerts:
            done += consumer.turn()
        return done

    consumer.turn()  # connected, a member of the group, the partition claimed
    return _closing(work, consumer.close)


def _bare(prefix: str, alerts: int) -> Work:
    kafka = _kafka(prefix)
    consumer = _member(kafka)

    def work() -> int:
        done = 0
        while done < alerts:
            for records in consumer.poll(timeout_ms=500).values():
                for record in records:
                    json.loads(record.value)
                done += len(records)
        return done

    consumer.seek_to_beginning()
    return _closing(work, consumer.close)


def _member(kafka: Kafka) -> Any:
    """A bare consumer that is a member of a group, as ours is. A fresh coordinator may forget who asked to join; then
    kafka-python would wait for minutes, so it is asked anew."""
    while True:
        consumer = kafka.consumer(f"bare-{uuid4().hex}", max_poll_records=POLL)
        consumer.subscribe([kafka.topics.alerts("wazuh")])
        until = time.monotonic() + JOIN_SECONDS
        while time.monotonic() < until:
            consumer.poll(timeout_ms=100, max_records=1)
            if consumer.assignment():
                return consumer
        consumer.close(autocommit=False, timeout_ms=1_000)


def _closing(work: Work, close: Callable[[], None]) -> Work:
    def closing() -> int:
        done = work()
        close()
        return done

    return closing


def _installation(url: str, prefix: str) -> Installation:
    settings = Settings(database_url=url, kafka=_kafka(prefix, group=uuid4().hex).settings)
    engine = open_engine(url)
    upgrade(engine)
    record = open_record(url, REGISTRY)
    return Installation(settings, record, engine, AlertIntake(record, SqlFindingsStore(engine), SystemClock()))


def _kafka(prefix: str, *, group: str | None = None) -> Kafka:
    settings = KafkaSettings(bootstrap_servers=(broker(),), topic_prefix=prefix, group_prefix=group or prefix)
    return Kafka(settings.model_copy(update={"batch_alerts": POLL}), "bench")


def _sent(alerts: int) -> str:
    """Put so many alerts into a topic of their own. Returns its prefix."""
    prefix = f"bench-{uuid4().hex}"
    kafka = _kafka(prefix)
    kafka.make_topic(kafka.topics.alerts("wazuh"), partitions=1)
    producer = kafka.producer(linger_ms=50, batch_size=262_144)
    sent = [producer.send(kafka.topics.alerts("wazuh"), value=value) for value in wazuh_alerts(alerts)]
    producer.flush(300)
    for future in sent:
        future.get(30)
    producer.close()
    return prefix


def wazuh_alerts(count: int) -> Iterator[bytes]:
    """Alerts of three kinds from many hosts, in the true form of Wazuh's `alerts.json`; each new, 40 to an incident."""
    shuffled = list(range(count))
    random.Random(SEED).shuffle(shuffled)
    for number in shuffled:
        host = number // PER_INCIDENT
        yield json.dumps(_KINDS[host % len(_KINDS)](number, host)).encode()


def _alert(number: int, host: int, **rest: Any) -> dict[str, Any]:
    return {
        "timestamp": time.strftime("2026-11-19T%H:%M:%S.218+0800", time.gmtime(number)),
        "agent": {"id": f"{host:03d}", "name": f"his-app-{host:03d}", "ip": f"192.0.2.{host % 250}"},
        "manager": {"name": "wazuh-changsha"},
        "id": f"1795103267.{number:06d}",
        **rest,
    }


def _logon(number: int, host: int) -> dict[str, Any]:
    source = f"203.0.113.{host % 250}"
    return _alert(
        number,
        host,
        rule={
            "level": 10,
            "description": "sshd: many failed logons from one address.",
            "id": f"57{host:03d}",
            "mitre": {"id": ["T1110.001"], "tactic": ["Credential Access"], "technique": ["Password Guessing"]},
            "frequency": 8,
            "firedtimes": number,
            "mail": False,
            "groups": ["syslog", "sshd", "authentication_failures"],
            "pci_dss": ["10.2.4", "10.2.5"],
        },
        full_log=f"Nov 19 23:41:05 his-app-{host:03d} sshd[{number}]: Failed password for backup from {source}",
        predecoder={"program_name": "sshd", "timestamp": "Nov 19 23:41:05", "hostname": f"his-app-{host:03d}"},
        decoder={"parent": "sshd", "name": "sshd"},
        data={"srcip": source, "srcport": "50022", "dstuser": "backup"},
        location="/var/log/auth.log",
    )


def _web(number: int, host: int) -> dict[str, Any]:
    url = f"/portal/export?table=patients&page={number}%27%20OR%201=1"
    return _alert(
        number,
        host,
        rule={
            "level": 7,
            "description": "SQL injection attempt.",
            "id": "31164",
            "mitre": {
                "id": ["T1190"],
                "tactic": ["Initial Access"],
                "technique": ["Exploit Public-Facing Application"],
            },
            "firedtimes": number,
            "mail": False,
            "groups": ["web", "accesslog", "attack", "sql_injection"],
        },
        full_log=f'198.51.100.7 - - [19/Nov/2026:23:41:05 +0800] "GET {url} HTTP/1.1" 200 51288 "-" "sqlmap/1.8"',
        decoder={"name": "web-accesslog"},
        data={"protocol": "GET", "srcip": "198.51.100.7", "id": "200", "url": url},
        location="/var/log/nginx/access.log",
    )


def _file(number: int, host: int) -> dict[str, Any]:
    path = f"/srv/exports/batch-{number}.csv"
    return _alert(
        number,
        host,
        rule={
            "level": 7,
            "description": "File added to a watched folder.",
            "id": "554",
            "firedtimes": number,
            "mail": False,
            "groups": ["ossec", "syscheck", "syscheck_entry_added"],
        },
        full_log=f"File '{path}' added\nMode: realtime\n",
        decoder={"name": "syscheck_new_entry"},
        syscheck={
            "path": path,
            "mode": "realtime",
            "size_after": str(number),
            "perm_after": "rw-r--r--",
            "uname_after": "root",
            "md5_after": f"{number:032x}",
            "sha256_after": f"{number:064x}",
            "mtime_after": "2026-11-19T15:41:05",
            "event": "added",
        },
        location="syscheck",
    )


_KINDS: tuple[Callable[[int, int], dict[str, Any]], ...] = (_logon, _web, _file)


def main() -> None:
    """Measure this alone."""
    parser = argparse.ArgumentParser(prog="python -m bench.kafka_intake", description=__doc__)
    parser.add_argument("--alerts", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--postgresql", action="store_true", help="PostgreSQL instead of SQLite")
    parser.add_argument("--profile", action="store_true", help="one run of ours under the profiler")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.profile:
            url = postgres.fresh_database() if given.postgresql else f"sqlite:///{folder / 'profile.sqlite'}"
            work = _ours(url, _sent(given.alerts), given.alerts)
            profile = cProfile.Profile()
            profile.runcall(work)
            pstats.Stats(profile).sort_stats("tottime").print_stats(45)
            return
        found = (on_postgresql if given.postgresql else on_sqlite)(folder, given.alerts, given.runs)
    print(
        f"{found.name}: ours {found.ours.median:,.0f}/s +-{found.ours.spread:.0%}, "
        f"bare {found.bare.median:,.0f}/s +-{found.bare.spread:.0%}, ratio {found.ratio:.2f} (aim {found.aim})"
    )


if __name__ == "__main__":
    main()
