"""The image: two stages, what is locked and nothing else, a user without rights, no way to build in the last stage."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.files import ROOT, command_fault

WORDS = {"FROM", "RUN", "COPY", "ENV", "LABEL", "USER", "WORKDIR", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK"} | {
    "ARG",
    "ENTRYPOINT",
    "CMD",
}


@dataclass(frozen=True)
class Step:
    """One instruction: its word, and the rest of it with continuations joined."""

    word: str
    rest: str


def steps() -> list[Step]:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines()
    found = [Step(*line.split(maxsplit=1)) for line in joined]
    assert {step.word for step in found} <= WORDS
    return found


def stages() -> list[list[Step]]:
    found: list[list[Step]] = []
    for step in steps():
        if step.word == "FROM":
            found.append([])
        found[-1].append(step)
    return found


def test_two_stages_from_one_pinned_python() -> None:
    bases = [stage[0].rest.split(" AS ")[0] for stage in stages()]

    assert len(bases) == 2
    assert len(set(bases)) == 1
    image, tag = bases[0].split(":")
    assert image == "python"
    version = re.fullmatch(r"(\d+\.\d+)\.\d+-slim-\w+", tag)
    assert version is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert f"Programming Language :: Python :: {version[1]}" in project["classifiers"]


def test_what_is_copied_exists_and_is_sent_to_the_builder() -> None:
    sent = [line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")]
    copied = []
    for step in stages()[0]:
        if step.word == "COPY":
            *sources, _target = step.rest.split()
            copied += sources
    assert copied
    for source in copied:
        assert (ROOT / source).exists(), source
        assert source in sent, f"{source} is left out by .dockerignore"
    assert sorted(copied) == sorted(sent), "what nobody copies is not sent"
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    ignored = [line for line in lines if not line.startswith(("!", "#"))]
    assert ignored[0] == "*"
    assert any(fnmatch.fnmatch("tocsin/__pycache__", pattern.replace("**/", "*/")) for pattern in ignored)


def test_every_package_of_the_project_is_in_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    rooms = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    copied = {step.rest.split()[0] for step in stages()[0] if step.word == "COPY"}

    assert rooms <= copied


def test_every_file_that_the_program_reads_is_packed() -> None:
    """From the checkout they are all there, whatever is packed."""
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    patterns = setuptools["package-data"]["*"]
    rooms = [name.rstrip("*") for name in setuptools["packages"]["find"]["include"]]
    files = [path for room in rooms for path in (ROOT / room).rglob("*") if path.is_file()]
    read = [path for path in files if path.suffix not in {".py", ".pyc"} and "__pycache__" not in path.parts]

    assert len(read) > 100
    left_out = [path for path in read if not any(fnmatch.fnmatch(path.name, pattern) for pattern in patterns)]
    assert not [str(path.relative_to(ROOT)) for path in left_out]


def test_only_what_is_locked_is_installed_and_nothing_is_compiled() -> None:
    installs = [step.rest for step in stages()[0] if step.word == "RUN" and "pip install" in step.rest]

    assert "--require-hashes" in installs[0]
    assert "--only-binary :all:" in installs[0]
    assert "--no-deps" in installs[0]
    assert "--no-index" in installs[1]
    assert "pip uninstall --yes setuptools pip" in installs[1]
    assert not any(re.search(r"apt|curl|wget|gcc|build-essential", step.rest) for step in steps() if step.word == "RUN")


@pytest.mark.parametrize("out", ["", "pyarrow", "pyarrow opentelemetry-sdk", "arrow"])
def test_packages_that_are_left_out_are_left_out_whole(tmp_path: Path, out: str) -> None:
    (install,) = [s.rest for s in stages()[0] if s.word == "RUN" and "--require-hashes" in s.rest]
    folder = tmp_path / "requirements"
    folder.mkdir()
    locked = (ROOT / "requirements" / "runtime.txt").read_text("utf-8")
    (folder / "runtime.txt").write_text(locked, "utf-8")
    awk = install.split(" && ")[0]
    subprocess.run(["sh", "-c", awk], cwd=tmp_path, check=True, env={"LEAVE_OUT": out, "PATH": os.environ["PATH"]})
    left = (folder / "image.txt").read_text("utf-8")

    before, after = (
        dict(re.findall(r"^([a-z0-9][^\n=]*)==(.*?)(?=^[a-z0-9]|\Z)", t, re.S | re.M)) for t in (locked, left)
    )
    assert before.keys() - after.keys() == set(out.split()) & before.keys()
    assert all(before[name].strip() == text.strip() for name, text in after.items())


def test_the_last_stage_is_small_and_has_no_rights() -> None:
    last = stages()[1]
    words = [step.word for step in last]

    assert [step.rest for step in last if step.word == "COPY"] == ["--from=build /opt/tocsin /opt/tocsin"]
    assert not any("pip" in step.rest or "apt" in step.rest for step in last if step.word == "RUN")
    (user,) = [step.rest for step in last if step.word == "USER"]
    uid, gid = user.split(":")
    assert int(uid) >= 10000
    assert int(gid) >= 10000
    assert words.index("USER") > words.index("COPY"), "what is installed belongs to root and cannot be changed"
    assert not any(step.word == "RUN" for step in last[words.index("USER") :])


def test_entry_point_command_and_health_check_exist() -> None:
    last = {step.word: step.rest for step in stages()[1]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    (entry,) = json.loads(last["ENTRYPOINT"])
    assert entry in project["scripts"]
    assert command_fault(json.loads(last["CMD"])) is None
    test = json.loads(last["HEALTHCHECK"].split("CMD ", 1)[1])
    assert test[0] == "python"
    compile(test[2], "health check", "exec")
    assert f":{last['EXPOSE']}/healthz" in test[2]
    assert f'version="{project["version"]}"' in last["LABEL"]
    assert project["license"] in last["LABEL"]


def test_requirements_are_wheels_for_that_python() -> None:
    """Every package is locked with a hash; the extras that the image needs are among them."""
    locked = (ROOT / "requirements" / "runtime.txt").read_text("utf-8")
    blocks = re.findall(r"^[a-z0-9][^\n]*==.*?(?=^\S|\Z)", locked, re.S | re.M)

    assert len(blocks) > 30
    assert all("--hash=sha256:" in block for block in blocks)
    names = {block.split("==")[0] for block in blocks}
    assert {"psycopg", "psycopg-binary", "opentelemetry-sdk", "setuptools"} <= names
