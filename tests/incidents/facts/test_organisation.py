"""The organisation profile: reading it, refusing it, and the facts it states."""

from __future__ import annotations

import pytest

from incidents.errors import InvalidInput
from incidents.facts import Facts, OrganisationProfile

TOML = """
[organisation]
name = "Xiang Retail Co., Ltd."
names = { zh = "湘零售有限公司" }
roles = ["controller", "network_operator"]
sectors = ["retail"]
languages = ["zh", "en", "vi"]
time_zone = "Asia/Shanghai"
persons_held = 2000000
sector_has_rules = false
domain = "example.org"

[[organisation.establishments]]
place = "CN-HN"
main = true

[[organisation.establishments]]
place = "DE"
time_zone = "Europe/Berlin"

[organisation.incident_contact]
name = "Incident desk"
email = "incidents@example.org"
"""


def test_a_profile_reads_from_toml_and_states_facts() -> None:
    profile = OrganisationProfile.from_toml(TOML)
    assert profile.facts() == {
        "roles": ["controller", "network_operator"],
        "sectors": ["retail"],
        "countries": ["CN", "DE"],
        "provinces": ["CN-HN"],
        "main_establishment": "CN",
        "sector_has_rules": False,
        "persons_held": 2000000,
    }
    Facts.parse(profile.facts())
    here = profile.establishment_in(("DE", "FR"))
    assert here is not None
    assert here.time_zone == "Europe/Berlin"
    assert profile.establishment_in(("US",)) is None


def test_what_the_profile_does_not_say_stays_unknown() -> None:
    assert OrganisationProfile.parse({"name": "Nobody"}).facts() == {}


@pytest.mark.parametrize(
    ("text", "field", "says"),
    [
        ('name = "A"\nroles = ["controler"]', "profile", "Did you mean “controller”"),
        ('name = "A"\ntime_zone = "Shanghai"', "time_zone", "IANA"),
        ('name = "A"\ncountries = ["China"]', "countries.0", "ISO 3166-1"),
        ('name = "A"\nestablishments = [{place = "CN", main = true}, {place = "DE", main = true}]', "profile", "main"),
        ('name = ""', "name", "at least 1"),
        ('nam = "A"', "name", "required"),
        ('name = "A"\ndpo = {name = "B"}', "dpo", "email, a phone or an address"),
    ],
)
def test_a_faulty_profile_is_refused_by_field(text: str, field: str, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        OrganisationProfile.from_toml(text)
    assert any(fault.field == field and says in fault.reason for fault in caught.value.errors), caught.value.errors


def test_broken_toml_says_where() -> None:
    with pytest.raises(InvalidInput, match="line 1"):
        OrganisationProfile.from_toml("name = \n")
