"""Importing an audience: what is taken, what is refused, and that no fault repeats a contact."""

from __future__ import annotations

import io
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select

from incidents.clock import ManualClock
from incidents.errors import InvalidInput, TooLarge
from incidents.record import Context
from notifier.audience import Audience, AudienceRefused, Audiences, ImportLimits, RowChecker, language_chooser
from notifier.audience.row import COLUMNS, Person, RowFault
from notifier.audience.tables import audience_members, audiences
from notifier.vault import MasterKeys, Vault
from notifier.vault.tables import vault_contacts
from tests.conftest import ContextMaker
from tests.notifier.house import KEYS, SIMULATED

HEADER = "name,phone,email,language,country"
CHOOSE = language_chooser(("en", "zh-Hans", "vi"), {"zh-Hant": ("zh-Hans",), "yue": ("zh-Hans",)}, "en")
CHECKER = RowChecker(CHOOSE, extra_numbers=SIMULATED)


class Desk:
    """Imports files in a test."""

    def __init__(self, engine: Engine, clock: ManualClock, limits: ImportLimits = ImportLimits()) -> None:
        self.engine = engine
        self.vault = Vault(engine, KEYS, clock)
        self.audiences = Audiences(engine, self.vault, clock, CHECKER, limits)

    def take(self, content: str | bytes, context: Context, **options: Any) -> Audience:
        raw = content.encode() if isinstance(content, str) else content
        return self.audiences.import_csv(io.BytesIO(raw), context, **options)

    def rows(self, *tables: Any) -> list[int]:
        with self.engine.connect() as connection:
            return [connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables]

    def people(self, audience: Audience) -> list[tuple[str, str | None, str | None, str]]:
        members = self.audiences.members(audience.audience_id, limit=10_000)
        contacts = self.vault.read_many(member.recipient_id for member in members)
        return [
            (contacts[m.recipient_id].name, contacts[m.recipient_id].phone, contacts[m.recipient_id].email, m.language)
            for m in members
        ]


@pytest.fixture
def desk(engine: Engine, clock: ManualClock) -> Desk:
    return Desk(engine, clock)


def test_a_file_as_spreadsheets_write_it(desk: Desk, analyst: ContextMaker) -> None:
    """Byte order mark, CRLF, quotes, national numbers, languages in many spellings."""
    content = (
        "\ufeffName,Phone,Email,Language,Country\r\n"
        '"张伟",138 0013 8000,Zhang@Example.CN,zh-CN,cn\r\n'
        '"Nguyễn, Văn An",0912 345 678,,vi_VN,VN\r\n'
        '"O""Neill",+447700900123,oneill@example.com,fr,IE\r\n'
        "Lin,,lin@example.com,zh-TW,TW\r\n"
        "\r\n"
    )
    audience = desk.take(content, analyst())
    assert desk.people(audience) == [
        ("张伟", "+8613800138000", "Zhang@example.cn", "zh-Hans"),
        ("Nguyễn, Văn An", "+84912345678", None, "vi"),
        ('O"Neill', "+447700900123", "oneill@example.com", "en"),
        ("Lin", None, "lin@example.com", "zh-Hans"),
    ]
    assert (audience.recipients, audience.rows, audience.faulty) == (4, 4, 0)
    assert audience.by_language == {"en": 1, "vi": 1, "zh-Hans": 2}
    assert audience.by_channel == {"email": 3, "sms": 3}


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        ("=cmd|' /C calc'!A0,+8613800138000,,zh,CN", "name", "formula"),
        ("@sum,+8613800138000,,zh,CN", "name", "formula"),
        ("\tTab,+8613800138000,,zh,CN", "name", "control"),
        ("Ann \u202egnaW,+8613800138000,,zh,CN", "name", "U+202E"),
        ("Ann,-1,,zh,CN", "phone", "formula"),
        ("Ann,+cmd,,zh,CN", "phone", "formula"),
        ("Ann,,+a@example.com,zh,CN", "email", "formula"),
        ("Ann,12345,,zh,CN", "phone", "phone number"),
        ("Ann,+8613800138000,,klingon,CN", "language", "language"),
        ("Ann,+8613800138000,,,CN", "language", "language"),
        ("Ann,+8613800138000,,zh,China", "country", "country"),
        ("Ann,+8613800138000,,zh,ZZ", "country", "country"),
        ("Ann,,not an address,zh,CN", "email", "email"),
        ("Ann,,,zh,CN", "phone", "nobody can be told"),
        (",+8613800138000,,zh,CN", "name", "empty"),
        ("Visit http://evil.example,+8613800138000,,zh,CN", "name", "link"),
        ('"A\nB",+8613800138000,,zh,CN', "name", "line break"),
        ("Ann,+8613800138000,,zh", "row", "4 fields"),
        ("Ann,+8613800138000,,zh,CN,extra", "row", "6 fields"),
        ('"An"n,+8613800138000,,zh,CN', "row", "quote"),
        ('"Ann,+8613800138000,,zh,CN', "row", "never closed"),
        ('"Ann" B,+8613800138000,,zh,CN', "row", "quote"),
        (f"{'x' * 400},+8613800138000,,zh,CN", "name", "longer"),
        (f"{'x' * 9000},+8613800138000,,zh,CN", "row", "longer"),
    ],
)
def test_a_faulty_row_is_named_and_nothing_is_imported(
    desk: Desk, analyst: ContextMaker, row: str, field: str, reason: str
) -> None:
    content = f"{HEADER}\nGood,+8613800138001,,zh,CN\n{row}\nAlso good,,also@example.com,en,GB\n"
    command = analyst()
    with pytest.raises(AudienceRefused) as caught:
        desk.take(content, command)
    assert [(fault.row, fault.field) for fault in caught.value.faults] == [(3, field)]
    assert reason in caught.value.faults[0].reason
    assert caught.value.errors[0].field == f"rows.3.{field}"
    assert desk.rows(audiences, audience_members, vault_contacts) == [0, 0, 0]
    accepted = desk.take(content, command, accept_valid=True)
    assert [name for name, *_ in desk.people(accepted)] == ["Good", "Also good"]
    assert (accepted.faulty, accepted.faults) == (1, caught.value.faults)


def test_bytes_that_are_no_text(desk: Desk, analyst: ContextMaker) -> None:
    for bad in (b"\xff\xfe", b"\x00", "张".encode("gb18030")):
        with pytest.raises(AudienceRefused) as caught:
            desk.take(HEADER.encode() + b"\nA" + bad + b",+8613800138000,,zh,CN\n", analyst())
        assert "UTF-8" in caught.value.faults[0].reason


@pytest.mark.parametrize(
    "header",
    [
        "",
        "name,phone,email,language",
        f"{HEADER},id",
        "name;phone;email;language;country",
        "name,name,email,language,country",
    ],
)
def test_a_bad_header_is_refused_and_not_repeated(desk: Desk, analyst: ContextMaker, header: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        desk.take(f"{header}\nAnn,+8613800138000,,zh,CN\n" if header else "", analyst())
    assert caught.value.errors[0].field == "header"
    with pytest.raises(InvalidInput) as caught:
        desk.take("Ann Secret,+8613800138000,ann@example.com,zh,CN\n", analyst())
    assert "Secret" not in caught.value.detail


def test_an_empty_file_is_refused(desk: Desk, analyst: ContextMaker) -> None:
    with pytest.raises(AudienceRefused, match="no rows"):
        desk.take(HEADER + "\n", analyst())


def test_limits(engine: Engine, clock: ManualClock, analyst: ContextMaker) -> None:
    desk = Desk(engine, clock, ImportLimits(max_bytes=2000, max_rows=3, max_faults=2))
    row = "Ann{i},,a{i}@example.com,en,GB\n"
    with pytest.raises(TooLarge) as caught:
        desk.take(HEADER + "\n" + "".join(row.format(i=i) for i in range(4)), analyst())
    assert caught.value.errors[0].field == "rows"
    with pytest.raises(TooLarge) as caught:
        desk.take(HEADER + "\n" + "x" * 3000, analyst())
    assert caught.value.errors[0].field == "file"
    with pytest.raises(AudienceRefused) as refused:
        desk.take(HEADER + "\nA,,,en,GB\nB,,,en,GB\nC,,,en,GB\n", analyst())
    assert (len(refused.value.faults), refused.value.faulty) == (2, 3)
    assert desk.rows(audiences, audience_members, vault_contacts) == [0, 0, 0]


def test_a_big_line_in_many_pieces_does_not_fill_memory(desk: Desk, analyst: ContextMaker) -> None:
    with pytest.raises(AudienceRefused) as caught:
        desk.take(f"{HEADER}\n{'y' * 1_000_000},,,,\nAnn,,ann@example.com,en,GB\n", analyst())
    assert [(fault.row, fault.field) for fault in caught.value.faults] == [(2, "row")]


def test_the_same_command_gives_the_same_audience(desk: Desk, analyst: ContextMaker) -> None:
    command = analyst()
    first = desk.take(f"{HEADER}\nAnn,,ann@example.com,en,GB\n", command)
    again = desk.take("whatever comes the second time is not read", command)
    assert again == first
    assert desk.rows(audience_members, vault_contacts) == [1, 1]


def test_rows_that_repeat_a_person_are_folded(desk: Desk, analyst: ContextMaker) -> None:
    audience = desk.take(
        f"{HEADER}\n"
        "Ann,+8613800138000,,zh,CN\n"
        "Ann,13800138000,,zh,CN\n"
        "Ann,+86 138 0013 8000,ann@example.com,zh,CN\n"
        "Bo,+8613800138001,bo@example.com,zh,CN\n"
        "Bo's son,+8613800138001,son@example.com,zh,CN\n"
        "ANN,,Ann@Example.com,zh,CN\n",
        analyst(),
    )
    assert desk.people(audience) == [
        ("Ann", "+8613800138000", "ann@example.com", "zh-Hans"),
        ("Bo", "+8613800138001", "bo@example.com", "zh-Hans"),
        ("Bo's son", "+8613800138001", "son@example.com", "zh-Hans"),
    ]
    assert audience.folded == 3


def test_a_repeat_far_behind_still_adds_its_contact(desk: Desk, analyst: ContextMaker) -> None:
    filler = "".join(f"P{i},,p{i}@example.com,en,GB\n" for i in range(700))
    audience = desk.take(
        f"{HEADER}\nAnn,+8613800138000,,zh,CN\n{filler}Ann,+8613800138000,ann@example.com,zh,CN\n", analyst()
    )
    assert desk.people(audience)[0] == ("Ann", "+8613800138000", "ann@example.com", "zh-Hans")
    assert audience.by_channel == {"email": 701, "sms": 1}


def test_the_digest_names_the_people_and_tells_nothing(
    desk: Desk, analyst: ContextMaker, engine: Engine, clock: ManualClock
) -> None:
    rows = ["Ann,+8613800138000,,zh,CN", "Bo,,bo@example.com,en,GB"]
    first = desk.take("\n".join([HEADER, *rows]), analyst())
    assert first.digest.startswith("rfc6962-sha256:test:")
    other = desk.take("\n".join([HEADER, rows[0], "Bo,,bob@example.com,en,GB"]), analyst())
    assert other.digest != first.digest
    stranger = Audiences(engine, Vault(engine, MasterKeys("test", {"test": b"x" * 32}), clock), clock, CHECKER)
    foreign = stranger.import_csv(io.BytesIO("\n".join([HEADER, *rows]).encode()), analyst())
    assert foreign.digest != first.digest, "without the key nobody can test a guess"


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("en", "en"),
        ("en-GB", "en"),
        ("zh", "zh-Hans"),
        ("zh-SG", "zh-Hans"),
        ("zh_Hans_CN", "zh-Hans"),
        ("zh-HK", "zh-Hans"),
        ("yue", "zh-Hans"),
        ("VI", "vi"),
        ("de", "en"),
        ("xx", None),
        ("chinese", None),
        ("", None),
        ("../etc", None),
    ],
)
def test_languages(tag: str, language: str | None) -> None:
    assert CHOOSE(tag) == language


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("zh-Hant-HK", "zh-Hant-HK"),
        ("zh-HK", "zh-Hant-HK"),
        ("zh-TW", "zh-Hant"),
        ("zh-Hant", "zh-Hant"),
        ("zh-Hant-MO", "zh-Hant"),
        ("zh-Hans-HK", "zh-Hans"),
        ("zh", "zh-Hans"),
        ("zh-SG", "zh-Hans"),
        ("yue-HK", "zh-Hant-HK"),
        ("de", "vi"),
    ],
)
def test_the_chain_goes_from_the_exact_to_the_default(tag: str, language: str) -> None:
    fallbacks = {"zh-Hant": ("zh-Hans",), "yue": ("zh-Hant-HK", "zh-Hant", "zh-Hans")}
    assert language_chooser(("en", "zh-Hans", "zh-Hant", "zh-Hant-HK", "vi"), fallbacks, "vi")(tag) == language


def test_scripts_do_not_mix_unless_a_fallback_says_so() -> None:
    assert language_chooser(("en", "zh-Hans"), {}, "en")("zh-TW") == "en"
    with pytest.raises(InvalidInput, match="no notice in 'fr'"):
        language_chooser(("en", "zh-Hans"), {}, "fr")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(min_size=0, max_size=40), min_size=5, max_size=5))
def test_no_fault_repeats_what_the_row_held(cells: list[str]) -> None:
    """Any garbage gives a person or faults; and the faults are sentences of ours only."""
    result = CHECKER.check(7, dict(zip(COLUMNS, cells, strict=True)))
    if isinstance(result, Person):
        assert result.phone or result.email
        return
    marked = CHECKER.check(7, {name: f"=SECRET{value}" for name, value in zip(COLUMNS, cells, strict=True)})
    assert isinstance(marked, list)
    assert result
    for fault in [*result, *marked]:
        assert isinstance(fault, RowFault)
        assert "SECRET" not in fault.reason


def test_unknown_audience(desk: Desk) -> None:
    assert desk.audiences.find(uuid4()) is None
