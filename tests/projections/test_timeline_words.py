"""A reader is told what a duty and an item are called, in the language of the page, and not by their ids."""

from __future__ import annotations

from uuid import UUID

from projections.timeline.timeline import TimelineEntry
from tests.conftest import NIGHT

DUTY = "us-tx-521-053-ag:us-tx.attorney_general:initial"


def entry(kind: str, **parameters: object) -> TimelineEntry:
    return TimelineEntry(
        position=1,
        incident_id=UUID(int=1),
        originator_id=UUID(int=2),
        originator_version=1,
        recorded_at=NIGHT,
        happened_at=NIGHT,
        actor="user:dpo",
        kind=kind,
        minor=False,
        parameters=parameters,
        cause="command:1",
    )


def test_duties_and_items_by_their_names() -> None:
    judged = entry("filing.submitted", duty_id=DUTY, missing=["number_notified"], submitted_at=NIGHT.isoformat())
    said = judged.words("zh", duties={DUTY: "得州总检察长"}, items={"number_notified": "已通知人数"})
    assert "得州总检察长" in said
    assert "已通知人数" in said
    assert "number_notified" not in said
    assert DUTY not in said
    assert DUTY in judged.words("zh"), "without names the id is all there is"


def test_a_step_that_is_there_for_a_duty_is_called_by_its_name() -> None:
    filed = entry("run.step-completed", step=f"file:{DUTY}", outcome="filed")
    assert filed.duty == DUTY
    said = filed.words("en", duties={DUTY: "the Attorney General"})
    assert "Step the Attorney General" in said
    assert DUTY not in said
    assert f"file:{DUTY}" in filed.words("en"), "without names the id is all there is"
    assert entry("run.step-completed", step="recover", outcome="done").duty is None


def test_a_step_is_called_by_its_title() -> None:
    run = {UUID(int=2): {"recover": {"en": "Confirm recovery", "zh-Hans": "确认已恢复"}, "file": {"en": "File it"}}}
    done = entry("run.step-completed", step="recover", outcome="done")
    assert done.words("en", steps=run) == "Step “Confirm recovery”: done."
    assert "步骤 “确认已恢复”" in done.words("zh", steps=run)
    reminded = entry("run.timer-fired", step="recover")
    assert "“Confirm recovery”" in reminded.words("en", steps=run)
    filed = entry("run.step-completed", step=f"file:{DUTY}", outcome="filed")
    assert filed.words("en", steps=run) == f"Step “File it” ({DUTY}): filed."
    assert "Step the Attorney General" in filed.words("en", duties={DUTY: "the Attorney General"}, steps=run)
    for unknown in ({}, {UUID(int=3): run[UUID(int=2)]}, {UUID(int=2): {}}):
        assert "Step recover: done." in done.words("en", steps=unknown), "without a title the id is all there is"


def test_a_revision_names_recipient_and_fields_in_chinese() -> None:
    revised = entry(
        "duty.revised",
        duty_id=DUTY,
        recipient="Texas Attorney General",
        recipient_texts={"en": "Texas Attorney General", "zh": "得州总检察长"},
        changed=["strict_due", "delay"],
        status="paused",
    )
    assert revised.words("zh") == "告知得州总检察长的义务已更新（最严期限、暂缓）：暂缓。"
    assert "strict deadline, waiting" in revised.words("en")


def test_how_it_was_fulfilled_is_a_word_and_a_reference() -> None:
    fulfilled = entry("duty.fulfilled", duty_id=DUTY, how="filing TX-1", submitted_at=NIGHT.isoformat())
    assert "（通过报送 TX-1）" in fulfilled.words("zh")
