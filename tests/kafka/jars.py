"""Kafka's jars: fetched once by Maven into a cache outside the repository, named by what `pom.xml` asks for.

`python -m tests.kafka` fetches them beforehand, so that no test pays for it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

CACHE_VARIABLE = "TOCSIN_TEST_CACHE"
POM = Path(__file__).with_name("pom.xml")


class NoJars(Exception):
    """There are no jars and no way to fetch them; says why."""


def cache_folder() -> Path:
    """Where things fetched for tests are kept: `TOCSIN_TEST_CACHE`, or a folder of the user's cache."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tocsin-tests"


def kafka_jars() -> Path:
    """The folder with all jars of the pom. Of several processes that ask at once, one fetches and the others wait.

    NoJars when they are not there and Maven is missing or fails.
    """
    digest = hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    folder = cache_folder() / f"kafka-{digest}"
    if folder.is_dir():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        raise NoJars("Maven (mvn) is not installed, and Kafka's jars are not in the cache")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "kafka.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _fetch(maven, folder)
    return folder


def _fetch(maven: str, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
        jars = Path(unfinished) / "jars"
        command = [maven, "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={jars}"]
        done = subprocess.run(command, cwd=unfinished, capture_output=True, text=True, check=False)
        if done.returncode or not any(jars.glob("kafka_*.jar")):
            raise NoJars(f"Maven could not fetch Kafka's jars: {done.stdout[-800:]}{done.stderr[-800:]}")
        jars.rename(folder)


def class_archive(jars: Path) -> Path:
    """Where Java keeps these classes ready to load, if `python -m tests.kafka` made it: a start takes a third."""
    return jars.with_suffix(".jsa")
