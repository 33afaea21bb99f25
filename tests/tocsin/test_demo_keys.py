"""A demo has a key for each role, and one of an earlier version gets those that it lacks."""

from __future__ import annotations

import json
from pathlib import Path

from tocsin.access.roles import Role
from tocsin.access.tables import api_keys
from tocsin.demo import DEMO_KEYS, _demo_keys
from tocsin.services import Services


def test_every_role_has_a_key_and_a_missing_one_is_made(services: Services, tmp_path: Path) -> None:
    assert {role for roles in DEMO_KEYS.values() for role in roles} == {role.value for role in Role}
    first = _demo_keys(services, tmp_path)
    assert set(first) == set(DEMO_KEYS)
    assert _demo_keys(services, tmp_path) == first
    (known,) = [key for key in services.keys.list() if key.name == "demo-privacy"]
    with services.engine.begin() as connection:
        connection.execute(api_keys.delete().where(api_keys.c.key_id == known.key_id))
    kept = {name: secret for name, secret in first.items() if name != "demo-privacy"}
    (tmp_path / "keys.json").write_text(json.dumps(kept))
    again = _demo_keys(services, tmp_path)
    assert {name: again[name] for name in kept} == kept
    assert again["demo-privacy"] != first["demo-privacy"]
    assert json.loads((tmp_path / "keys.json").read_text()) == again
