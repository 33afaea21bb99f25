"""Every recorded event has words in every language, and every placeholder is filled."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from incidents.record import Registry
from projections.catalogue import all_projections
from projections.runner import Runner
from projections.timeline.fold import parameters_of
from projections.timeline.sentences import LANGUAGES, in_language, placeholders, sentence, sentences
from tests.projections.conftest import Installation
from tests.projections.stories import Teller, whole_story


def test_the_story_holds_every_kind_of_event(installation: Installation, registry: Registry) -> None:
    teller = Teller(installation.record, installation.clock)
    whole_story(teller)
    assert teller.kinds == set(registry.classes)


def test_every_kind_is_folded_by_some_projection(registry: Registry) -> None:
    assert {kind for projection in all_projections() for kind in projection.kinds} == set(registry.classes)


def test_every_kind_has_a_sentence_in_every_language(registry: Registry) -> None:
    table = sentences().sentences
    assert set(table) == set(registry.classes)
    assert all(set(by_language) == set(LANGUAGES) for by_language in table.values())


def test_every_placeholder_is_a_parameter(installation: Installation) -> None:
    whole_story(Teller(installation.record, installation.clock))
    table = sentences()
    for recorded in installation.record.read(0, 1000):
        parameters = parameters_of(recorded.event)
        for parts in table.sentences[recorded.event.kind].values():
            for name in (name for part in parts for name in placeholders(part)):
                said = name.removesuffix("_words")
                assert said in parameters, f"{recorded.event.kind} has no {name}"
                assert name == said or said in table.words


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_of_a_story_are_whole(installation: Installation, language: str) -> None:
    whole_story(Teller(installation.record, installation.clock))
    Runner(installation.record, installation.engine, all_projections(), installation.clock).drain()
    for recorded in installation.record.read(0, 1000):
        words = sentence(recorded.event.kind, parameters_of(recorded.event), language)
        assert words
        assert words != recorded.event.kind
        assert "None" not in words
        assert "{" not in words


def test_words_follow_the_reader() -> None:
    missed = {"duty_id": "d", "strict_due": "2026-11-22T16:00:00+00:00"}
    assert sentence("duty.missed", missed, "en") == "Deadline MISSED for duty d: it was 2026-11-22 16:00 +0000."
    shown = sentence("duty.missed", missed, "zh-Hans-CN", ZoneInfo("Asia/Shanghai"))
    assert shown == "义务 d 已逾期：期限为 2026-11-23 00:00 +0800。"
    contained = {"comment": ""}
    assert sentence("incident.contained", contained, "en") == "Contained."
    assert sentence("incident.contained", {"comment": "cable cut"}, "en") == "Contained. cable cut"


def test_what_people_wrote_is_never_a_template_and_never_translated() -> None:
    note = {"text": "{cause} done {0.__class__}"}
    assert sentence("incident.note-added", note, "zh") == "备注：{cause} done {0.__class__}"


def test_a_kind_without_words_shows_its_name() -> None:
    assert sentence("something.new", {}, "en") == "something.new"


def test_texts_by_language() -> None:
    texts = {"en": "a", "zh-Hans": "b"}
    assert [in_language(texts, tag) for tag in ("zh-Hans", "zh", "zh-CN", "en-GB", "vi")] == ["b", "b", "b", "a", "a"]
    assert in_language({}, "en") == ""
