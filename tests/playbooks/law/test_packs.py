"""The packs that come with Tocsin, the loader and the linter."""

from __future__ import annotations

import re
from datetime import datetime
from importlib.resources import files
from pathlib import Path

import pytest

from incidents.errors import InvalidInput
from incidents.facts import Facts
from playbooks.law import DutyStatus, assemble, derive, load_law, parse_pack, standard_calendars
from playbooks.law.coverage import is_in_force
from playbooks.law.law import SEAL, built_in_texts, digest_of, read_packs
from playbooks.law.lint import lint
from playbooks.law.pack import Occasion, Pack, Party, RecipientKind, Stage, Status
from tests.playbooks.law.samples import CHAIN
from tests.reference import needs_reference, table

LAW = load_law()


@pytest.mark.parametrize("pack", LAW.packs, ids=lambda pack: pack.instrument.id)
def test_a_pack_is_sound_and_its_cases_hold(pack: Pack) -> None:
    faults = [f"{fault.field}: {fault.reason}" for fault in lint(assemble([pack]))]
    assert not faults


def test_chinese_law_is_told_in_chinese() -> None:
    for pack, rule in LAW.rules():
        texts = [rule.who, rule.incident, *(item.text for item in rule.contents.items)]
        texts += [recipient.name for recipient in rule.recipients] + [e.words for e in rule.exemptions]
        assert all(text.get("zh") for text in texts), rule.id
        assert pack.instrument.short.get("zh")


def test_notices_to_people_name_their_items_in_three_languages() -> None:
    for rule_id in ("cn-ndsr-11-interested-parties", "cn-pipl-57-individuals"):
        found = LAW.rule(rule_id)
        assert found is not None
        assert all({"en", "zh", "vi"} <= set(item.text) for item in found[1].contents.items)


def test_escalations_are_not_duties_of_the_operator() -> None:
    for name in (
        "cn-measures-4-cii-protection-dept-30min",
        "cn-measures-4-central-organ-escalation-1h",
        "cn-measures-4-other-escalation-1h",
    ):
        found = LAW.rule(name)
        assert found is not None
        assert found[1].party is Party.AUTHORITY


ARTICLES = {  # every record of the first packs in the research tables
    "cn-ndsr-10": 3, "cn-ndsr-11": 3, "cn-measures-": 13, "cn-pipl-57": 3, "cn-hn-21": 2, "cn-hn-26": 2, "eu-gdpr-3": 7,
}  # fmt: skip
STAGES = {"cn-hn-21-plan": Stage.LOG}  # not a notification: a duty to act that is logged


@pytest.mark.parametrize("prefix", ARTICLES)
def test_the_first_packs_are_complete(prefix: str) -> None:
    assert sum(rule.id.startswith(prefix) for _, rule in LAW.rules()) == ARTICLES[prefix]


@needs_reference
def test_the_first_packs_say_what_the_research_says() -> None:
    records = [*table("obligations-cn-vn.yaml"), *table("obligations-world.yaml")]
    wanted = [r for r in records if r["id"].startswith(tuple(ARTICLES)) and r["status"] == "in_force"]
    for record in wanted:
        found = LAW.rule(record["id"])
        assert found is not None
        pack, rule = found
        deadline = record["deadline"]
        assert (rule.period.amount, rule.period.unit) == (deadline["amount"], deadline["unit"]), rule.id
        assert rule.article == record["article"], rule.id
        assert rule.confidence == record["confidence"], rule.id
        assert rule.stage == STAGES.get(rule.id, record["stage"]), rule.id
        assert str(rule.in_force_from or pack.instrument.in_force_from) == record["in_force_from"]
        assert pack.instrument.jurisdiction == record["jurisdiction"]
        assert rule.contents.basis == record.get("contents_basis", rule.contents.basis)
        if record["id"] not in ("cn-measures-4-cii-1h", "cn-measures-4-central-organ-2h", "cn-measures-4-other-4h"):
            assert len(rule.contents.items) == len(record["contents"]), rule.id
        if "promptness" in deadline:
            assert rule.promptness == deadline["promptness"], rule.id


def test_kinds_of_recipient_fit_the_stage() -> None:
    for _, rule in LAW.rules():
        kinds = {recipient.kind for recipient in rule.recipients}
        if rule.stage is Stage.INDIVIDUAL:
            assert kinds == {RecipientKind.INDIVIDUALS}
        if rule.stage is Stage.LOG:
            assert kinds == {RecipientKind.INTERNAL}


FAULTS = [
    ("    article: '1'\n", "", "rules.zz-initial.article", "Field required"),
    ("event: classified", "event: clasified", "rules.zz-initial.clock", "no clock event “clasified”"),
    ("after: [zz-initial]", "after: [zz-first]", "rules.zz-intermediate.clock", "no other rule “zz-first”"),
    ("family: dora-2025-301\n", "family: dora\n", "rules.zz-initial.period.family", "Input should be"),
    ("trigger: facts.serious_incident", "trigger: facts.serious", "rules.zz-initial.trigger", "Did you mean"),
    ("not_for: \"'bank' in", "not_for: \"'bnk' in", "rules.zz-initial", "Did you mean “bank”"),
    ("amount: 4\n", "amount: four\n", "rules.zz-initial.period.amount", "valid integer"),
    ("reminder: PT30M", "reminder: 30 minutes", "rules.zz-own-reminder.reminder", "not a duration"),
    ("id: zz-final\n", "id: zz-initial\n", "rules.zz-initial", "stands twice"),
    ("jurisdiction: EU", "jurisdiction: Europe", "instrument.jurisdiction", "pattern"),
    ("region: eea", "region: europe", "instrument.forum.region", "no region"),
    ("checked_on: 2026-11-22", "checked_on: yesterday", "instrument.checked_on", "date"),
    ("short: {en: Chain act}", "short: {zh: 法}", "instrument.short", "at least the language en"),
    ("in_force_to: 2026-06-30", "in_force_to: 2025-06-30", "rules.zz-old-law", "lies before"),
    ("in_force_from: 2026-01-01", "in_force_from: 2026-01-01\n  in_force_to: 2025-12-31", "instrument", "lies before"),
    ("promptness: prompt\n    reminder", "reminder", "rules.zz-own-reminder", "needs a promptness"),
    ("schema: 1", "schema: 1\nextra: true", "extra", "Extra inputs"),
    ("schema: 1", "schema: [", "chain.yaml", "not valid YAML"),
]


@pytest.mark.parametrize(("old", "new", "place", "says"), FAULTS, ids=[str(n) for n in range(len(FAULTS))])
def test_a_faulty_pack_is_refused_with_file_rule_and_field(old: str, new: str, place: str, says: str) -> None:
    assert old in CHAIN
    with pytest.raises(InvalidInput) as caught:
        parse_pack(CHAIN.replace(old, new, 1), name="chain.yaml")
    assert any(place in fault.field and says in fault.reason for fault in caught.value.errors), caught.value.errors
    assert re.match(r"chain\.yaml:\d+", caught.value.errors[0].field)


LINES = [
    ("event: classified", "event: clasified", "no clock event"),
    ("family: dora-2025-301\n", "family: dora\n", "Input should be"),
    ("trigger: facts.serious_incident", "trigger: facts.serious", "Did you mean"),
    ("trigger: facts.serious_incident", "trigger: facts.serious_incident &&", "not CEL"),
    ("amount: 4\n", "amount: four\n", "valid integer"),
    ("in_force_from: 2026-01-01", "in_force_from: 2026-02-30", "date"),
    ("after: [zz-initial]", "after: [zz-first]", "no other rule"),
    ("  - <<: *common\n    id: zz-final\n", "  - <<: *common\n    id: zz-initial\n", "stands twice"),
    ("schema: 1", "schema: 1\nschema: 1", "given twice"),
]


@pytest.mark.parametrize(("old", "new", "says"), LINES, ids=[says for _, _, says in LINES])
def test_a_fault_names_its_line(old: str, new: str, says: str) -> None:
    text = CHAIN.replace(old, new, 1)
    with pytest.raises(InvalidInput) as caught:
        parse_pack(text, name="chain.yaml")
    fault = next(fault for fault in caught.value.errors if says in fault.reason or says in caught.value.detail)
    line = int(fault.field.split(":")[1])
    written = text.splitlines()[line - 1]
    changed = new.strip("\n").splitlines()
    key = changed[-1].split(":")[0].strip(" -")
    near = {"after": "clock", "id": "<<"}.get(key, key)
    assert near in written, (line, written)


def test_stages_that_wait_for_each_other_are_refused() -> None:
    circle = CHAIN.replace("clock: {event: classified}", "clock: {after: [zz-final]}", 1)
    with pytest.raises(InvalidInput, match="circle: zz-initial -> zz-final -> zz-intermediate -> zz-initial") as caught:
        parse_pack(circle, name="chain.yaml")
    assert len(caught.value.errors) == 1


def test_every_faulty_file_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(CHAIN.replace("amount: 4\n", "amount: four\n"), encoding="utf-8")
    (tmp_path / "b.yaml").write_text("schema: [", encoding="utf-8")
    with pytest.raises(InvalidInput) as caught:
        load_law(tmp_path)
    files = {Path(fault.field.split(":")[0]).name for fault in caught.value.errors}
    assert files == {"a.yaml", "b.yaml"}


def test_a_file_that_is_no_text_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"schema: 1\n# \xff\n")
    with pytest.raises(InvalidInput, match=r"a\.yaml:2 is not text in UTF-8"):
        load_law(tmp_path)


def test_folders_of_ones_own_add_to_the_law(tmp_path: Path) -> None:
    (tmp_path / "zz").mkdir()
    (tmp_path / "zz" / "chain.yaml").write_text(CHAIN, encoding="utf-8")
    law = load_law(tmp_path)
    assert law.rule("zz-initial") is not None
    assert law.rule("eu-gdpr-33-1-authority") is not None
    alone = load_law(tmp_path, built_in=False)
    assert [pack.instrument.id for pack in alone.packs] == ["zz-chain"]
    assert "zz-chain 7" in alone.version()
    with pytest.raises(InvalidInput, match="no folder"):
        load_law(tmp_path / "nowhere")
    (tmp_path / "again.yaml").write_text(CHAIN, encoding="utf-8")
    with pytest.raises(InvalidInput, match="defined twice") as caught:
        load_law(tmp_path)
    assert {"again.yaml", "zz/chain.yaml"} <= {
        name for name in ("again.yaml", "zz/chain.yaml") for f in caught.value.errors if name in f.field + f.reason
    }
    assert any("zz-initial" in fault.reason for fault in caught.value.errors)


CASE = """
cases:
  - id: a-case
    about: A major incident of a bank.
    at: '2026-09-12T00:00:00+02:00'
    facts: {countries: [DE], roles: [bank], serious_incident: true, classified_at: '2026-09-11T22:00:00+02:00'}
    expect:
      zz-initial: {status: due, strict_due: '2026-09-12T03:00:00+02:00'}
      zz-intermediate: {status: due}
      zz-final: {status: none}
"""


def test_the_linter_runs_the_cases_and_asks_for_missing_ones() -> None:
    law = assemble([parse_pack(CHAIN + CASE, name="chain.yaml")])
    found = {(re.sub(r"^chain.yaml:\d+: ", "", fault.field), fault.reason) for fault in lint(law)}
    case = "case a-case"
    assert (case, "zz-intermediate: expected due, got waiting_for_clock") in found
    assert (case, "zz-final: expected no duty, got waiting_for_clock") in found
    wrong = "zz-initial: expected strict_due 2026-09-12T03:00:00+02:00, got 2026-09-12T02:00:00+02:00"
    assert (case, wrong) in found
    assert ("zz-declaration", "No case triggers this rule.") in found
    assert ("zz-initial", "No case just fails to trigger this rule.") in found
    line = (CHAIN + CASE).splitlines().index("  - id: a-case") + 1
    assert any(fault.field == f"chain.yaml:{line}: case a-case" for fault in lint(law))
    faulty = CASE.replace("roles: [bank]", "rolls: [bank]")
    broken = lint(assemble([parse_pack(CHAIN + faulty, name="chain.yaml")]))
    assert any("There is no fact “rolls”" in fault.reason for fault in broken)


UNREACHABLE = [
    ("bound: \"'financial_entity' in facts.roles\"", 'bound: "false"', "It can never be a duty"),
    ("trigger: facts.serious_incident", 'trigger: "false && facts.serious_incident"', "It can never be a duty"),
    ("trigger: facts.serious_incident", 'trigger: "true || facts.serious_incident"', None),
]


@pytest.mark.parametrize(("old", "new", "says"), UNREACHABLE, ids=["bound", "trigger", "always"])
def test_a_rule_that_unknown_facts_hide_is_a_fault(old: str, new: str, says: str | None) -> None:
    assert old in CHAIN
    reasons = {fault.reason for fault in lint(assemble([parse_pack(CHAIN.replace(old, new), name="chain.yaml")]))}
    assert any(reason.startswith("It can never be") for reason in reasons) == (says is not None)


def test_a_duty_of_everybody_is_a_fault() -> None:
    text = CHAIN.replace("trigger: facts.serious_incident", 'trigger: "true"')
    text = text.replace("bound: \"'financial_entity' in facts.roles\"", 'bound: "true"')
    reasons = {fault.reason for fault in lint(assemble([parse_pack(text, name="chain.yaml")]))}
    assert any(reason.startswith("It is a duty of everybody") for reason in reasons)


def test_while_nothing_is_known_every_rule_of_an_incident_is_possible() -> None:
    """Unknown facts hide no duty: each rule that binds is there, with the facts that would settle it."""
    now = datetime.fromisoformat("2026-11-22T12:00:00+00:00")
    duties = derive(Facts(), LAW, standard_calendars(), at=now)
    assert {duty.status for duty in duties} == {DutyStatus.POSSIBLE}
    assert all(duty.settle_by for duty in duties)
    binding = {
        rule.id
        for pack, rule in LAW.rules()
        if (rule.status or pack.instrument.status) is Status.IN_FORCE
        and rule.party is Party.OPERATOR
        and rule.occasion is not Occasion.STANDING
        and is_in_force(pack, rule, now.date())
    }
    assert binding - {duty.rule for duty in duties} == set()


def test_the_seal_is_that_of_the_packs_as_they_are() -> None:
    texts = list(built_in_texts())
    seal = files("playbooks.law").joinpath("packs", SEAL).read_text(encoding="utf-8").strip()
    assert seal == digest_of(texts), "run `make docs`"
    changed = [(name, text + "# changed") if at == 0 else (name, text) for at, (name, text) in enumerate(texts)]
    assert digest_of(changed) != seal


def test_conditions_of_sealed_packs_are_compiled_when_used_and_are_all_sound() -> None:
    unsound = CHAIN.replace("trigger: facts.serious_incident", "trigger: facts.serious")
    pack = parse_pack(unsound, name="chain.yaml", checked=True)
    with pytest.raises(ValueError, match="Did you mean"):
        _ = pack.rules[0].trigger_condition
    read_packs(built_in_texts())
