"""The running service keeps the last good law when a changed folder of packs cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from incidents.errors import InvalidInput
from playbooks.law.book import LawBook
from tests.playbooks.law.samples import CHAIN


def write(path: Path, text: str) -> None:
    """Write, and move the file's time on even where the clock of the file system is coarse."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(text, encoding="utf-8")
    os.utime(path, ns=(before + 10**9, before + 10**9))


def test_a_good_change_comes_into_use_and_a_faulty_one_does_not(tmp_path: Path) -> None:
    path = tmp_path / "chain.yaml"
    write(path, CHAIN)
    book = LawBook(tmp_path)
    first = book.law
    assert first.rule("zz-initial") is not None
    assert book.refresh() is False
    assert book.law is first

    write(path, CHAIN.replace("amount: 4\n", "amount: 5\n", 1))
    assert book.refresh() is True
    second = book.law
    found = second.rule("zz-initial")
    assert found is not None
    assert found[1].period.amount == 5

    write(path, CHAIN.replace("trigger: facts.serious_incident", "trigger: facts.serious"))
    with capture_logs() as logs:
        assert book.refresh() is False
        assert book.refresh() is False
    assert book.law is second
    assert [entry["event"] for entry in logs] == ["law.not_reloaded"], "once for each change"
    assert "chain.yaml:" in logs[0]["faults"][0]

    write(path, CHAIN)
    assert book.refresh() is True
    path.unlink()
    assert book.refresh() is True
    assert book.law.rule("zz-initial") is None


def test_a_faulty_pack_is_refused_at_start(tmp_path: Path) -> None:
    write(tmp_path / "chain.yaml", CHAIN.replace("amount: 4\n", "amount: four\n", 1))
    with pytest.raises(InvalidInput, match=r"chain\.yaml:\d+: rules\.zz-initial\.period\.amount"):
        LawBook(tmp_path)


def test_an_id_of_ours_is_not_taken_twice(tmp_path: Path) -> None:
    write(tmp_path / "mine.yaml", CHAIN.replace("id: zz-initial\n", "id: eu-gdpr-33-1-authority\n"))
    with pytest.raises(InvalidInput) as caught:
        LawBook(tmp_path)
    assert "mine.yaml" in str(caught.value.errors)
