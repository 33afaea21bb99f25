"""Facts files in three formats, and faults that say where."""

from __future__ import annotations

from pathlib import Path

import pytest

from incidents.errors import InvalidInput, NotFound, TooLarge
from incidents.facts.files import MAX_BYTES, parse_document, read_facts

SAME = {
    "facts.json": '{"countries": ["CN", "NO"], "encrypted": false, "aware_at": "2026-06-12T16:20:00+02:00"}',
    "facts.yaml": "countries: [CN, NO]\nencrypted: false\naware_at: 2026-06-12T16:20:00+02:00\n",
    "facts.toml": 'countries = ["CN", "NO"]\nencrypted = false\naware_at = 2026-06-12T16:20:00+02:00\n',
    "nested.yml": "facts:\n  countries: [CN, NO]\n  encrypted: false\n  aware_at: '2026-06-12T16:20:00+02:00'\n",
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_facts_in_every_format(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(SAME[name], encoding="utf-8")
    assert read_facts(path).known() == {
        "encrypted": False,
        "countries": ["CN", "NO"],
        "aware_at": "2026-06-12T16:20:00+02:00",
    }


@pytest.mark.parametrize(
    ("suffix", "text", "says"),
    [
        (".json", '{"encrypted": tru', "not valid JSON"),
        (".json", '{"encrypted": true, "encrypted": false}', "given twice"),
        (".yaml", "encrypted: true\nencrypted: false", "given twice"),
        (".yaml", "a: [1", "not valid YAML"),
        (".yaml", "!!python/object/apply:os.getcwd []", "not valid YAML"),
        (".toml", "encrypted = maybe", "not valid TOML"),
        (".txt", "encrypted: true", "use .json, .yaml or .toml"),
        (".json", "[1, 2]", "one object"),
        (".yaml", "1: true", "one object"),
        (".json", "[" * 100_000, "not valid JSON"),
    ],
)
def test_a_faulty_file_says_what_is_wrong(suffix: str, text: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        parse_document(text, suffix)


def test_a_naive_time_in_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "facts.yaml"
    path.write_text("aware_at: 2026-06-12T16:20:00\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="no time zone"):
        read_facts(path)
    path.write_text("aware_at: 2026-06-12\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="time of day"):
        read_facts(path)


def test_missing_large_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no file"):
        read_facts(tmp_path / "facts.json")
    large = tmp_path / "large.json"
    large.write_bytes(b" " * (MAX_BYTES + 1))
    with pytest.raises(TooLarge):
        read_facts(large)
    with pytest.raises(TooLarge):
        parse_document(" " * (MAX_BYTES + 1), ".json")
    binary = tmp_path / "binary.json"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match="UTF-8"):
        read_facts(binary)


def test_facts_are_found_in_a_larger_document(tmp_path: Path) -> None:
    path = tmp_path / "incident.json"
    path.write_text('{"title": "Case", "facts": {"persons_affected": 3}, "grades": []}', "utf-8")
    assert read_facts(path).known() == {"persons_affected": 3}
