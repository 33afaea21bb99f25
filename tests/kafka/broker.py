"""A real Kafka broker for tests: one combined node in KRaft mode on loopback, that can be stopped, killed and wiped.

It keeps its port over restarts, as a broker in the field does. Java 17 runs the jars that Maven fetched; where there is
no Java but a Docker daemon, a container runs the same commands.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self
from uuid import uuid4

from tests.kafka.jars import NoJars, class_archive, kafka_jars
from tests.ports import free_ports

PATIENCE = 90.0
HEAP = ("-Xms96m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
QUIET = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.clients=error",
    "-Djava.awt.headless=true",
)
IMAGE = "apache/kafka:4.1.0"


class NoKafka(Exception):
    """No broker can be run on this machine; says why."""


class Runtime(Protocol):
    """How a Java program of Kafka is run."""

    def command(self, name: str, folder: Path, *program: str) -> list[str]: ...

    def signal(self, process: subprocess.Popen[bytes], name: str, number: signal.Signals) -> None: ...


@dataclass(frozen=True)
class JavaRuntime:
    """This machine's Java with the cached jars."""

    java: str
    jars: Path

    def command(self, name: str, folder: Path, *program: str) -> list[str]:
        archive = class_archive(self.jars)
        ready = [f"-XX:SharedArchiveFile={archive}"] if archive.exists() else []
        return [self.java, *HEAP, *ready, *QUIET, "-cp", f"{self.jars}/*", *program]

    def signal(self, process: subprocess.Popen[bytes], name: str, number: signal.Signals) -> None:
        process.send_signal(number)


@dataclass(frozen=True)
class DockerRuntime:
    """The same commands in a container that shares this machine's network and the broker's folder."""

    docker: str

    def command(self, name: str, folder: Path, *program: str) -> list[str]:
        owner = f"{os.getuid()}:{os.getgid()}"
        container = [self.docker, "run", "--rm", "--name", name, "--network", "host", "--user", owner]
        java = ["--entrypoint", "java", "--volume", f"{folder}:{folder}", IMAGE, *HEAP]
        return [*container, *java, "-cp", "/opt/kafka/libs/*", *program]

    def signal(self, process: subprocess.Popen[bytes], name: str, number: signal.Signals) -> None:
        subprocess.run([self.docker, "kill", "--signal", number.name, name], check=True, stdout=subprocess.DEVNULL)


def find_runtime() -> Runtime:
    """What this machine can run a broker with. NoKafka names what is missing."""
    java = shutil.which("java")
    if java is not None:
        try:
            return JavaRuntime(java, kafka_jars())
        except NoJars as error:
            reason = str(error)
    else:
        reason = "Java 17 (java) is not installed"
    docker = shutil.which("docker")
    if docker is not None and not subprocess.run([docker, "info"], capture_output=True, check=False).returncode:
        return DockerRuntime(docker)
    raise NoKafka(f"{reason}, and no Docker daemon answers")


@dataclass(frozen=True)
class Security:
    """How clients reach a broker that is not open to everybody: TLS with these PEM files, and SASL users."""

    keystore: Path
    """Certificate chain and unencrypted PKCS #8 key in one PEM file."""
    truststore: Path
    mechanism: str = "SCRAM-SHA-512"
    users: dict[str, str] = field(default_factory=dict)
    asks_for_certificate: bool = False

    def lines(self) -> list[str]:
        lines = [
            f"ssl.keystore.type=PEM\nssl.keystore.location={self.keystore}",
            f"ssl.truststore.type=PEM\nssl.truststore.location={self.truststore}",
            f"ssl.client.auth={'required' if self.asks_for_certificate else 'none'}",
        ]
        if self.users:
            lines.append(f"sasl.enabled.mechanisms={self.mechanism}")
            prefix = f"listener.name.clients.{self.mechanism.lower()}.sasl.jaas.config="
            if self.mechanism == "PLAIN":
                users = " ".join(f'user_{name}="{password}"' for name, password in self.users.items())
                lines.append(f"{prefix}org.apache.kafka.common.security.plain.PlainLoginModule required {users};")
            else:
                lines.append(f"{prefix}org.apache.kafka.common.security.scram.ScramLoginModule required;")
        return lines

    def scram(self) -> list[str]:
        """Arguments of the format tool that create the users."""
        if self.mechanism == "PLAIN":
            return []
        pairs = [f"{self.mechanism}=[name={name},password={password}]" for name, password in self.users.items()]
        return [part for pair in pairs for part in ("--add-scram", pair)]

    @property
    def protocol(self) -> str:
        return "SASL_SSL" if self.users else "SSL"


class KafkaBroker:
    """A broker of one's own. `with KafkaBroker(folder) as broker:` starts it and stops it in the end.

    Topics are made when first used, with one partition; ask `partitions` for another number.
    """

    def __init__(self, folder: Path, *, partitions: int = 1, security: Security | None = None) -> None:
        self._runtime = find_runtime()
        self._folder = folder
        self._data = folder / "data"
        self._partitions = partitions
        self._security = security
        self._process: subprocess.Popen[bytes] | None = None
        self._name = f"tocsin-kafka-{uuid4().hex[:12]}"
        self.port, self._controller_port, self._inside_port = free_ports(3)

    @property
    def bootstrap(self) -> str:
        """The address clients are given."""
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What the broker wrote."""
        return "".join(path.read_text("utf-8", "replace") for path in sorted(self._folder.glob("*.log")))

    def start(self) -> None:
        """Start it, with the data it had, and wait until it answers."""
        if self._process is not None:
            raise RuntimeError("the broker is running already")
        if not self._data.exists():
            self._format()
        with (self._folder / "broker.log").open("ab") as log:
            command = self._runtime.command(self._name, self._folder, "kafka.Kafka", str(self.properties))
            self._process = subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=log, start_new_session=True)
        self.wait_until_it_answers(self._process)

    def stop(self) -> None:
        """Shut it down in order."""
        if self._process is not None:
            with contextlib.suppress(subprocess.SubprocessError, ProcessLookupError):
                self._runtime.signal(self._process, self._name, signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def kill(self) -> None:
        """SIGKILL, as when the power goes."""
        if self._process is not None:
            with contextlib.suppress(subprocess.SubprocessError, ProcessLookupError):
                self._runtime.signal(self._process, self._name, signal.SIGKILL)
            self._process.wait(20)
            self._process = None

    def wipe(self) -> None:
        """Kill it and start it again at the same address with nothing in it: all topics, groups and offsets gone."""
        self.kill()
        shutil.rmtree(self._data, ignore_errors=True)
        self.start()

    def segment(self, topic: str, partition: int = 0) -> Path:
        """The file that holds the messages of a partition, while it is small."""
        return self._data / f"{topic}-{partition}" / f"{0:020}.log"

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        if self._process is not None:
            self._runtime.signal(self._process, self._name, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        if self._process is not None:
            self._runtime.signal(self._process, self._name, signal.SIGCONT)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process is not None:
            self.resume()
        self.kill()  # what is in it is of no more use, and an orderly end takes seconds
        shutil.rmtree(self._data, ignore_errors=True)

    @property
    def properties(self) -> Path:
        """Its configuration."""
        return self._folder / "server.properties"

    def _format(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self.properties.write_text("\n".join(self._configuration()) + "\n", "utf-8")
        scram = self._security.scram() if self._security else []
        arguments = ["format", "--standalone", "-t", "dG9jc2luLXRlc3RzLWthZg", "-c", str(self.properties), *scram]
        command = self._runtime.command(f"{self._name}-format", self._folder, "kafka.tools.StorageTool", *arguments)
        done = subprocess.run(command, cwd=self._folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NoKafka(f"Kafka's storage could not be formatted: {done.stdout[-600:]}{done.stderr[-600:]}")

    def _configuration(self) -> Sequence[str]:
        clients = self._security.protocol if self._security else "PLAINTEXT"
        outside, inside = f"CLIENTS://127.0.0.1:{self.port}", f"INSIDE://127.0.0.1:{self._inside_port}"
        return [
            "process.roles=broker,controller",
            "node.id=1",
            f"listeners={outside},{inside},CONTROLLER://127.0.0.1:{self._controller_port}",
            f"advertised.listeners={outside},{inside}",
            f"listener.security.protocol.map=CLIENTS:{clients},INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name=INSIDE",
            "controller.listener.names=CONTROLLER",
            f"controller.quorum.bootstrap.servers=127.0.0.1:{self._controller_port}",
            f"log.dirs={self._data}",
            f"num.partitions={self._partitions}",
            "auto.create.topics.enable=true",
            "offsets.topic.num.partitions=1",
            "offsets.topic.replication.factor=1",
            "transaction.state.log.num.partitions=1",
            "transaction.state.log.replication.factor=1",
            "transaction.state.log.min.isr=1",
            "share.coordinator.state.topic.num.partitions=1",
            "share.coordinator.state.topic.replication.factor=1",
            "share.coordinator.state.topic.min.isr=1",
            "group.initial.rebalance.delay.ms=0",
            "group.min.session.timeout.ms=1000",
            "log.cleaner.dedupe.buffer.size=2097152",
            "log.segment.bytes=16777216",
            "num.network.threads=2",
            "num.io.threads=3",
            "background.threads=2",
            *(self._security.lines() if self._security else ()),
        ]

    def wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        """It listens only once it can serve. NoKafka when it ends instead, or takes too long."""
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.05)
        self.kill()
        raise NoKafka(f"The Kafka broker did not start: {self.log[-1500:]}")
