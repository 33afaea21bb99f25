"""`python -m tests.kafka`: fetch the broker's jars, and have Java keep its classes ready. No test pays for it then."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.kafka.broker import JavaRuntime, KafkaBroker, NoKafka, find_runtime
from tests.kafka.jars import class_archive


def make_class_archive(runtime: JavaRuntime) -> None:
    """Let a broker run once; Java writes down at its end what it loaded."""
    archive = class_archive(runtime.jars)
    if archive.exists():
        return
    with tempfile.TemporaryDirectory(prefix="tocsin-kafka-") as name:
        made = Path(name) / "classes.jsa"
        with KafkaBroker(Path(name)) as broker:
            broker.stop()
            command = runtime.command("archive", Path(name), "kafka.Kafka", str(broker.properties))
            process = subprocess.Popen(
                [command[0], f"-XX:ArchiveClassesAtExit={made}", *command[1:]],
                cwd=name,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            broker.wait_until_it_answers(process)
            process.terminate()
            process.wait(120)
        if made.exists():
            unfinished = archive.with_suffix(".new")
            unfinished.write_bytes(made.read_bytes())
            unfinished.rename(archive)


if __name__ == "__main__":
    try:
        runtime = find_runtime()
        if isinstance(runtime, JavaRuntime):
            make_class_archive(runtime)
            print(runtime.jars)
    except NoKafka as error:
        sys.exit(str(error))
