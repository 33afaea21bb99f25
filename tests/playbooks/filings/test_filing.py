"""A filing lacks nothing its law demands, or a named person answers for it (promise 7); pure decisions."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest

from incidents.errors import Conflict, Forbidden, IllegalTransition, InvalidInput
from incidents.facts import Facts, OrganisationProfile, vocabulary
from incidents.record import Context
from playbooks.duties.events import DutyOnRecord
from playbooks.filings.events import FilingApproved, FilingSubmitted, ItemWritten
from playbooks.filings.filing import Filing, Standing
from playbooks.filings.form import MAY_BE_UNKNOWN_AT, items_of, may_be_unknown, standing_of
from playbooks.filings.sources import sources
from playbooks.law import load_law
from playbooks.law.pack import Stage
from tests.conftest import NIGHT
from tests.playbooks.duties.test_register import INCIDENT, duty

ITEMS = ("nature", "kinds_of_personal_information", "number_of_residents", "contact_point", "cause")
PROFILE = OrganisationProfile.parse(
    {"name": "Mill", "dpo": {"name": "Privacy", "names": {"zh-Hans": "隐私办公室"}, "email": "privacy@mill.example"}}
)
FACTS = Facts.parse({"data_classes": ["health"], "persons_by_country": {"DE": 40, "FR": 2, "US": 7}})


def demanding(stage: str = "initial", items: tuple[str, ...] = ITEMS, **changes: object) -> DutyOnRecord:
    texts = {name: {"en": f"The {name}", "zh": f"{name}情况"} for name in items}
    return duty(stage=stage, contents=items, content_texts=texts, **changes)


def by(actor: str = "user:mei") -> Context:
    return Context(actor=actor, cause=f"command:{uuid4()}", recorded_at=NIGHT)


def standing(
    filing: Filing, of: DutyOnRecord, facts: Facts = FACTS, points: tuple[UUID, ...] = (), at: datetime = NIGHT
) -> Standing:
    return standing_of(of, filing.said, facts, PROFILE, at=at, points=points)


def write(filing: Filing, of: DutyOnRecord, **items: ItemWritten) -> None:
    filing.write(
        by(),
        incident_id=INCIDENT,
        duty_id=of.duty_id,
        items=items,
        demanded=of.contents,
        may_be_unknown=may_be_unknown(of, PROFILE, FACTS),
    )


def submit(filing: Filing, of: DutyOnRecord, reason: str | None = None, actor: str = "user:mei") -> FilingSubmitted:
    filing.submit(
        by(actor),
        incident_id=INCIDENT,
        duty_id=of.duty_id,
        standing=standing(filing, of),
        submitted_at=NIGHT,
        override_reason=reason,
    )
    assert filing.submitted is not None
    return filing.submitted


@pytest.fixture
def filing() -> Filing:
    return Filing(Filing.id_for(INCIDENT, "gdpr-33"))


def test_items_are_answered_by_facts_profile_and_people(filing: Filing) -> None:
    of = demanding()
    write(filing, of, nature=ItemWritten(text="  Export of a table. "), cause=ItemWritten(not_yet_known=True))

    found = {item.id: (item.state, item.answer) for item in items_of(of, filing.said, FACTS, PROFILE, "en", at=NIGHT)}
    in_chinese = items_of(of, filing.said, FACTS, PROFILE, "zh-Hans", at=NIGHT)
    chinese, answers = ({item.id: getattr(item, of_it) for item in in_chinese} for of_it in ("text", "answer"))

    assert found["nature"] == ("written", "Export of a table.")
    assert found["kinds_of_personal_information"][0] == "from_facts"
    assert "Health" in found["kinds_of_personal_information"][1]
    assert found["number_of_residents"] == ("from_facts", "EU: 42"), "those of the union, not of the world"
    assert found["contact_point"] == ("from_profile", "Privacy, privacy@mill.example")
    assert answers["contact_point"] == "隐私办公室, privacy@mill.example"
    assert found["cause"] == ("not_yet_known", "")
    assert chinese["nature"] == "nature情况"


def test_a_filing_that_lacks_items_is_refused_naming_each(filing: Filing) -> None:
    of = demanding()

    with pytest.raises(InvalidInput) as refused:
        submit(filing, of)

    assert [(fault.field, fault.reason) for fault in refused.value.errors] == [
        ("items.nature", "is missing: The nature"),
        ("items.cause", "is missing: The cause"),
    ]
    assert filing.submitted is None


def test_a_reason_of_a_named_person_overrides_and_is_on_record(filing: Filing) -> None:
    with pytest.raises(Forbidden):
        submit(filing, demanding(), "The portal has no such field.", actor="system:automation")

    judged = submit(filing, demanding(), " The portal has no such field. ").judged

    assert judged.missing == ("nature", "cause")
    assert judged.override_reason == "The portal has no such field."


def test_a_whole_filing_needs_no_reason_and_keeps_none(filing: Filing) -> None:
    of = demanding()
    write(filing, of, nature=ItemWritten(text="Export"), cause=ItemWritten(text="Phishing"))

    judged = submit(filing, of, "in case").judged

    assert (judged.missing, judged.override_reason) == ((), None)
    with pytest.raises(IllegalTransition, match="went out"):
        write(filing, of, nature=ItemWritten(text="More"))


@pytest.mark.parametrize("stage", list(Stage))
def test_not_yet_known_is_an_answer_at_early_stages_only(filing: Filing, stage: Stage) -> None:
    of = demanding(stage)
    early = stage in {"early_warning", "initial", "intermediate", "update"}
    assert early == (stage in MAY_BE_UNKNOWN_AT)

    if not early:
        with pytest.raises(InvalidInput) as refused:
            write(filing, of, cause=ItemWritten(not_yet_known=True))
        assert refused.value.errors[0].field == "items.cause"
        assert "cause" in standing(filing, of).missing
        return
    write(filing, of, cause=ItemWritten(text="The forensics end on Monday.", not_yet_known=True))
    assert standing(filing, of).not_yet_known == ("cause",)
    assert "cause" not in standing(filing, of).missing


def test_who_we_are_is_never_not_yet_known(filing: Filing) -> None:
    with pytest.raises(InvalidInput, match="nothing was written") as refused:
        write(filing, demanding(), contact_point=ItemWritten(not_yet_known=True), nature=ItemWritten(text="x"))

    assert [fault.field for fault in refused.value.errors] == ["items.contact_point"]
    assert filing.said == {}


def test_unfit_items_are_named_all_at_once(filing: Filing) -> None:
    with pytest.raises(InvalidInput) as refused:
        write(
            filing,
            demanding(),
            weather=ItemWritten(text="Rain"),
            nature=ItemWritten(text="x" * 10_001),
            cause=ItemWritten(text="Call +49 170 1234567"),
        )

    assert {fault.field for fault in refused.value.errors} == {"items.weather", "items.nature", "items.cause"}
    assert "1234567" not in str([fault.reason for fault in refused.value.errors])


def test_an_approval_is_of_what_was_read_and_void_when_anything_changes(filing: Filing) -> None:
    of = demanding()
    write(filing, of, nature=ItemWritten(text="Export"))
    read = standing(filing, of).digest

    def approve(digest: str, reason: str | None = None) -> None:
        now = standing(filing, of)
        filing.approve(
            by(), incident_id=INCIDENT, duty_id=of.duty_id, standing=now, digest=digest, override_reason=reason
        )

    with pytest.raises(InvalidInput, match="lacks items"):
        approve(read)
    with pytest.raises(Conflict):
        approve("0" * 64, "Known later.")
    approve(read, "Known later.")
    assert isinstance(filing.approved, FilingApproved)
    assert filing.approved_as_is(standing(filing, of))
    assert not filing.approved_as_is(standing(filing, of, Facts.parse({"data_classes": ["personal"]})))
    assert not filing.approved_as_is(standing(filing, of, points=(UUID(int=5),)))

    assert submit(filing, of).judged.override_reason == "Known later.", "the override of the approval carries over"


def test_a_change_after_the_approval_asks_again(filing: Filing) -> None:
    of = demanding()
    filing.approve(
        by(),
        incident_id=INCIDENT,
        duty_id=of.duty_id,
        standing=standing(filing, of),
        digest=standing(filing, of).digest,
        override_reason="In a hurry.",
    )
    write(filing, of, nature=ItemWritten(text="Export"))

    with pytest.raises(InvalidInput) as refused:
        submit(filing, of)
    assert [fault.field for fault in refused.value.errors] == ["items.cause"]


def test_an_empty_item_takes_back_what_was_written(filing: Filing) -> None:
    of = demanding()
    write(filing, of, nature=ItemWritten(text="Export"), cause=ItemWritten(not_yet_known=True))

    write(filing, of, nature=ItemWritten(), cause=ItemWritten())

    assert set(standing(filing, of).missing) == {"nature", "cause"}


def test_the_digest_is_of_the_words_and_of_nothing_else(filing: Filing) -> None:
    of = demanding()
    first = standing(filing, of).digest
    assert standing(filing, of.model_copy(update={"strict_due": NIGHT + timedelta(days=9)})).digest == first
    write(filing, of, nature=ItemWritten(text="Export"))
    assert standing(filing, of).digest != first


def test_reasons_for_delay_are_asked_for_when_it_is_late(filing: Filing) -> None:
    of = demanding(items=("reasons_for_delay",))
    assert of.strict_due is not None

    assert standing(filing, of, at=of.strict_due).missing == {}
    assert "reasons_for_delay" in standing(filing, of, at=of.strict_due + timedelta(seconds=1)).missing
    (item,) = items_of(of, {}, FACTS, PROFILE, "zh-Hans", at=NIGHT)
    assert (item.state, item.answer) == ("not_applicable", "不适用：未逾期。")


def test_a_ransom_is_asked_about_unless_it_is_known_that_there_is_none(filing: Filing) -> None:
    of = demanding(items=("ransom",))

    def asked(**facts: object) -> bool:
        return "ransom" in standing(filing, of, Facts.parse(facts)).missing

    assert asked()
    assert asked(event_kinds=["ransomware"])
    assert asked(event_kinds=["cyberattack"], ransom_demanded=True)
    assert not asked(event_kinds=["cyberattack"])


def test_every_source_names_items_of_the_packs_and_facts_of_the_vocabulary() -> None:
    demanded = {item.id for _, rule in load_law().rules() for item in rule.contents.items}
    for name, source in sources().items():
        assert name in demanded, name
        for fact in (*source.facts, *source.suggest):
            assert fact in vocabulary(), (name, fact)
