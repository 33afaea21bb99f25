"""What the first page says of the law packs and where it leads is so today, in both languages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "README.zh-CN.md")


def page(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_the_figures_of_the_law_packs_are_those_of_their_list(name: str) -> None:
    found = re.search(r"(\d+) jurisdictions, (\d+) instruments, (\d+) rules, (\d+) worked", page("docs/law/README.md"))
    assert found is not None
    said = set(re.findall(r"\d+", page(name).replace(",", "")))
    assert set(found.groups()) <= said, f"{name} does not say {found.groups()}"


@pytest.mark.parametrize("name", PAGES)
def test_every_page_it_leads_to_is_there(name: str) -> None:
    links = {link.partition("#")[0] for link in re.findall(r"\]\(([^):]+)\)", page(name))}
    assert links
    assert [link for link in sorted(links) if not (ROOT / link).exists()] == []
    aside = {"docs/law-adding.md", "docs/simulated-numbers.md", "docs/projections.md", "docs/dependencies.md"}
    docs = {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}
    assert sorted(docs - links - aside) == [], "pages that nobody is led to"
