"""The directory of authorities: lookups fall back, own entries go first, and what is not known is said and counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from incidents.errors import InvalidInput
from incidents.facts import Facts, OrganisationProfile
from incidents.facts.places import countries
from playbooks.directory import Authority, Directory, coverage, load_directory, place_of, role_of
from playbooks.law.law import load_law
from playbooks.law.pack import RecipientKind
from tests.reference import needs_reference, table

OWN = """
schema: 1
authorities:
  - roles: [cn.provincial_cyberspace_administration, cn-hn.cyberspace_administration]
    place: CN-HN
    name: {en: Provincial office, zh: 省级办公室}
    languages: [zh-Hans]
    hotline: '0731-0000'
    confidence: high
"""


def entry(role: str, place: str, *, named: bool = True) -> Authority:
    return Authority(roles=(role,), place=place, name={"en": f"{role} at {place}"}, named=named, confidence="high")


def test_the_national_hotline_is_known() -> None:
    found = load_directory().resolve("cn.provincial_cyberspace_administration", "CN-HN")

    assert found is not None
    assert (found.hotline, found.email, found.fax) == ("12387", "12387@cert.org.cn", "010-82992387")
    assert found.portal is not None
    assert found.portal.url == "https://12387.cert.org.cn"
    assert not found.named, "the office of the province is not known"
    assert {"address", "languages"} <= set(found.unknown)


def test_a_lookup_falls_back_from_place_to_country_to_region_to_the_role_itself() -> None:
    entries = [entry("a.b", "CN"), entry("eu.x", "EU"), entry("eu.x", "DE"), entry("us-ny.dfs", "US-NY")]
    directory = Directory(entries)

    assert directory.resolve("a.b", "CN-HN") is entries[0]
    assert directory.resolve("eu.x", "DE-BY") is entries[2]
    assert directory.resolve("eu.x", "FR") is entries[1]
    assert directory.resolve("eu.x") is entries[1]
    assert directory.resolve("us-ny.dfs", "SG") is entries[3]
    assert directory.resolve("a.b", "VN") is None
    assert directory.resolve("", "CN") is None


@pytest.mark.parametrize("as_folder", [True, False])
def test_own_entries_go_before_the_shipped_ones(tmp_path: Path, as_folder: bool) -> None:
    (tmp_path / "own.yaml").write_text(OWN, "utf-8")
    directory = load_directory(tmp_path if as_folder else tmp_path / "own.yaml")

    here = directory.resolve("cn.provincial_cyberspace_administration", "CN-HN")
    assert here is not None
    assert (here.name_in("zh-Hans"), here.origin, here.hotline) == ("省级办公室", "own", "0731-0000")
    there = directory.resolve("cn.provincial_cyberspace_administration", "CN-BJ")
    assert there is not None
    assert there.origin == "shipped"


def test_own_entries_may_be_toml_and_the_later_source_goes_first(tmp_path: Path) -> None:
    text = '[[authorities]]\nroles = ["eu.supervisory_authority"]\nplace = "DE"\nconfidence = "high"\n'
    for name, title in (("a", "First"), ("b", "Second")):
        (tmp_path / f"{name}.toml").write_text(f'{text}[authorities.name]\nen = "{title}"\n', "utf-8")

    found = load_directory(tmp_path / "a.toml", tmp_path / "b.toml").resolve("eu.supervisory_authority", "DE")

    assert found is not None
    assert found.name_in("de") == "Second"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("place: CN-HN", "place: UK", r"own\.yaml:5: .*place: .*no place"),
        ("hotline:", "hotlin:", r"own\.yaml:8: .*hotlin"),
        ("confidence: high", "confidence: sure", r"own\.yaml:9"),
        ("en: Provincial office, ", "", "language en"),
        ("schema: 1", "schema: 2", "schema"),
        ("authorities:", "authority:", "no list"),
        ("roles: [", "roles: [[", "not valid YAML"),
    ],
)
def test_faults_name_file_and_line(tmp_path: Path, old: str, new: str, says: str) -> None:
    (tmp_path / "own.yaml").write_text(OWN.replace(old, new), "utf-8")

    with pytest.raises(InvalidInput, match=says):
        load_directory(tmp_path)


def test_a_missing_folder_and_broken_toml_are_refused(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("[[authorities", "utf-8")
    with pytest.raises(InvalidInput, match="TOML"):
        load_directory(tmp_path)
    with pytest.raises(InvalidInput, match="neither"):
        load_directory(tmp_path / "nowhere")


def test_every_role_of_the_packs_is_known_or_counted_as_unresolved() -> None:
    law, directory = load_law(), load_directory()
    found = coverage(law, directory)

    roles = {r.role for _, rule in law.rules() for r in rule.recipients if r.kind is RecipientKind.AUTHORITY}
    assert {*found.named, *found.generic, *found.unresolved} == roles
    assert found.roles == len(roles)
    assert found.unused == (), "entries that no rule names: a typing error, or a rule that went away"
    assert len(found.named) > len(roles) / 2


def test_the_count_follows_the_directory() -> None:
    law = load_law()
    role = "cn.provincial_cyberspace_administration"

    assert role in coverage(law, Directory([])).unresolved
    assert role in coverage(law, Directory([entry(role, "CN", named=False)])).generic
    assert role in coverage(law, Directory([entry(role, "CN")])).named
    assert coverage(law, Directory([entry("cn.nobody_asks", "CN")])).unused == ("cn.nobody_asks",)


def test_every_shipped_entry_has_a_chinese_name_and_either_an_address_or_says_what_is_missing() -> None:
    for found in load_directory():
        assert found.name.get("zh"), found.roles
        portal = found.portal is not None and found.portal.url is not None
        reachable = portal or found.hotline or found.email or found.fax or found.address
        assert reachable or "portal" in "".join(found.unknown), found.roles
        assert found.place[:2] in countries() | {"EU", "ZZ"}, found.roles


@needs_reference
def test_no_address_is_invented() -> None:
    """Every number, address and portal address stands in the research tables."""
    said = "\n".join(
        str(channel)
        for name in ("obligations-cn-vn.yaml", "obligations-world.yaml")
        for record in table(name)
        for channel in record.get("channels") or []
    )
    for found in load_directory():
        url = found.portal.url.removeprefix("https://") if found.portal and found.portal.url else None
        for address in (url, found.hotline, found.email, found.fax, found.address):
            assert address is None or address in said, found.roles


def test_where_an_authority_is_looked_for() -> None:
    profile = OrganisationProfile.parse(
        {"name": "X", "establishments": [{"place": "CN-HN"}, {"place": "DE", "main": True}, {"place": "FR"}]}
    )
    none = Facts()

    assert place_of("CN", none, profile) == "CN-HN"
    assert place_of("EU", none, profile) == "DE"
    assert place_of("EU", Facts.parse({"main_establishment": "FR"}), profile) == "FR"
    assert place_of("EU", Facts.parse({"countries": ["IE", "CN"]})) == "IE"
    assert place_of("EU", Facts.parse({"countries": ["IE", "FR"]})) == "EU"
    assert place_of("CN", Facts.parse({"provinces": ["CN-BJ", "VN-27"]})) == "CN-BJ"
    assert place_of("SG", none, profile) == "SG"
    assert role_of("cn-x-1:cn.cac:initial") == "cn.cac"
    assert role_of("d-sa") == ""
