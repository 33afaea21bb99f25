"""Contacts and identity numbers are found in every usual spelling; machine identifiers are left alone."""

from __future__ import annotations

import json
import re
import string
import sys
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from incidents.errors import InvalidInput
from incidents.privacy import find_contacts, has_contacts, mask_contacts, mask_json, mask_tree, refuse_contacts

MASKED = [
    ("write to zhang.wei@example.com now", "write to [email] now"),
    ("联系zhang.wei@example.com谢谢", "联系[email]谢谢"),
    ("a@b.co,c+tag@d.example.org;", "[email],[email];"),
    ("mailto:O'Neil_7@mail.example.vn", "mailto:[email]"),
    ("邮箱 用户@例子.公司", "邮箱 [email]"),
    ("lan＠example．com", "[email]"),
    ("admin@例子.公司", "[email]"),
    ("电话13800138000请回电", "电话[phone]请回电"),
    ("138 0013 8000", "[phone]"),
    ("138-0013-8000", "[phone]"),
    ("86 13800138000", "[phone]"),
    ("+86 138 0013 8000", "[phone]"),
    ("138.0013.8000", "[phone]"),
    ("86.138.0013.8000, 致电", "[phone], 致电"),
    ("138\u200b0013\u200b8000", "[phone]"),
    ("\ufeff电话：1\u20603\u00ad800138\u200d000。", "\ufeff电话：[phone]。"),
    ("138\u00a00013\u00a08000", "[phone]"),
    ("138\u20110013\u20118000", "[phone]"),
    ("zhang\u200b.wei@exam\u00adple.com", "[email]"),
    ("li.na@localhost", "[email]"),
    ("to Li.Na2@LOCALHOST.", "to [email]."),
    ("write to nguyễn.lan@mail now", "write to [email] now"),
    ("+8613800138000.", "[phone]."),
    ("0086 138 0013 8000", "[phone]"),
    ("１３８００１３８０００", "[phone]"),
    ("2024 13800138000 2025", "2024 [phone] 2025"),
    ("0731-88886666", "[phone]"),
    ("(0731) 8888 6666", "[phone]"),
    ("0901234567", "[phone]"),
    ("090 123 4567", "[phone]"),
    ("090.123.4567", "[phone]"),
    ("+84 90 123 4567", "[phone]"),
    ("84901234567", "[phone]"),
    ("0901 234 567", "[phone]"),
    ("tel:+4915112345678", "tel:[phone]"),
    ("+44 (0)20 7946 0958", "[phone]"),
    ("(415) 555-2671", "[phone]"),
    ("415-555-2671", "[phone]"),
    ("身份证430102199003071234。", "身份证[id-number]。"),
    ("430102 19900307 123X", "[id-number]"),
    ("11010519491231002x", "[id-number]"),
    ("card 4111 1111 1111 1111", "card [card]"),
    ("4111111111111111", "[card]"),
    ("5500-0055-5555-5559", "[card]"),
    ("378282246310005", "[card]"),
    ("3782 822463 10005", "[card]"),
    ("6222 0212 3456 7894", "[card]"),
]

KEPT = [
    "sshd: authentication failed.",
    "Fail2ban IP 192.0.2.1 has been banned from apache-auth",
    "10.0.0.1:44321 -> 172.16.254.3:8443, 0.0.0.0/0",
    "2001:db8:85a3:8d3:1319:8a2e:370:7348 and fe80::1380:138f:fe00:1",
    "2024-11-05T09:34:05.577+0000",
    "2024-11-05 09:34:05,577 +0800",
    "20241105093405",
    "Nov 19 23:41:05 his-app-01 sshd[4188]",
    "1652272159 1652272159000 1652272159000000 1652272159000000000",
    "1652272159.1549653",
    "1730155805.3106944994",
    "rule 100210 fired 5763 times, event 4625, record 1844648657",
    "CVE-2021-44228 CVE-2024-1234567 CNVD-2021-95914 RHSA-2024:1234",
    "T1110.001 TA0006 CWE-79",
    "ec834826-90c1-458a-8eec-a014e7266754",
    "12345678-1234-1234-1234-138001380001",
    "S-1-5-21-152646656-2035762256-2110791508-500",
    "sha256:e9e2afad74f4e80511a5cff33d3d989b9797a718425f27e549f5b1f862c058a8",
    "76eae1f63f77154db8c9dd884a47e994",
    "12345678901234567890123456789012",
    "eb:ce:a8:7f:51:fe:32:ac:16:a0:f0:1d:9c:d8:db:54",
    "00:13:80:01:38:00",
    "arn:aws:iam::111122223333:role/Admin",
    "arn:aws:ec2:us-east-1:522536594833:security-group/sg-0daf160f08dfed499",
    "curve25519-sha256@libssh.org,chacha20-poly1305@openssh.com",
    "root@db-01 svc_backup@localhost",
    "root@localhost getty.target@tty1 lodash.merge@latest app.v2@build-7",
    "Chrome 138.0.7204.49 and 138.0013.8000.1, 10.138.0013.8000",
    "版本\u200b138.0.7204.49\u200b，地址 192.0\u200b.2.1",
    "1652272159\u200b000",
    "lodash@4.17.21 npm@10.2",
    "Postgres 16.4.2, kernel 5.15.0-1052",
    "0x4020000000000000 logon 0x1a6162e2b",
    "41.7839 112.9388, 99.99 %, 418906112 bytes",
    "INC-7F3K-9Q2M",
    "http://192.0.2.7:8080/a?b=12345678",
    "4111111111111112",
    "6222021234567890",
    "123456789012345678",
    "430102199013071234",
    "port 5432 5433 5434 5435",
    "0.13800138000",
    "(2024) 100-200",
    "12/31/2024 23:59:59",
    "数据库 3306 端口异常，共 211 行",
    "2026年11月20日01时00分",
    "#13800 8000",
]


@pytest.mark.parametrize(("text", "masked"), MASKED)
def test_contacts_are_masked(text: str, masked: str) -> None:
    assert mask_contacts(text) == masked
    assert mask_contacts(masked) == masked
    with pytest.raises(InvalidInput):
        refuse_contacts(text, "title")


@pytest.mark.parametrize("text", KEPT)
def test_machine_identifiers_stay(text: str) -> None:
    assert mask_contacts(text) == text
    assert refuse_contacts(text, "title") == text


def test_a_refusal_names_the_field_and_the_way_out_but_not_the_value() -> None:
    with pytest.raises(InvalidInput, match=r"a telephone number.*audience") as caught:
        refuse_contacts("Call Ms Zhang, 138 0013 8000, or zhang@example.com", "note")
    assert [fault.field for fault in caught.value.errors] == ["note"]
    assert "138" not in caught.value.detail
    assert "zhang@" not in caught.value.detail


def test_types_are_listed_once() -> None:
    text = "zhang@example.com wei@example.com +86 138 0013 8000 4111111111111111 430102199003071234"
    assert find_contacts(text) == ("card", "email", "id-number", "phone")


def test_a_tree_is_masked_everywhere() -> None:
    tree = {
        "to zhang@example.com": [{"phone": 13800138000, "ms": 1652272159000, "ok": True, "none": None}],
        "card": 4111111111111111,
        "ratio": 0.13800138,
        "log": ("a", "+84 90 123 4567"),
    }
    assert mask_tree(tree) == {
        "to [email]": [{"phone": "[phone]", "ms": 1652272159000, "ok": True, "none": None}],
        "card": "[card]",
        "ratio": 0.13800138,
        "log": ["a", "[phone]"],
    }


LOCAL = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=12)
WORDS = st.text("告警数据 abc,。:;()!?\n", max_size=12)


@given(WORDS, LOCAL, LOCAL, WORDS)
def test_no_address_survives(before: str, local: str, domain: str, after: str) -> None:
    address = f"{local}@{domain}.example"
    assert address not in mask_contacts(f"{before} {address} {after}")


@given(
    WORDS,
    st.sampled_from(["", "86", "+86", "+86 ", "0086"]),
    st.integers(3, 9),
    st.integers(0, 999_999_999),
    st.sampled_from(["", " ", "-"]),
    WORDS,
)
def test_no_chinese_mobile_number_survives(
    before: str, code: str, second: int, rest: int, gap: str, after: str
) -> None:
    digits = f"1{second}{rest:09d}"
    number = gap.join((digits[:3], digits[3:7], digits[7:]))
    # A mobile number right after or before other digits or letters would be another number.
    masked = mask_contacts(f"{before}电话{code}{number}。{after}")
    assert number not in masked


def test_no_unseen_character_hides_a_number() -> None:
    """Every character that this Python's Unicode calls a format character, between two groups of a number."""
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code)) == "Cf":
            assert mask_contacts(f"138{chr(code)}0013 8000".replace(" ", chr(code))) == "[phone]", hex(code)


@given(st.text(max_size=60))
def test_masking_any_text_ends_and_is_settled(text: str) -> None:
    masked = mask_contacts(text)
    assert find_contacts(masked) == ()


@given(st.ip_addresses(), st.datetimes(), st.uuids(), st.integers(1999, 2030), st.integers(1, 99999))
def test_addresses_times_and_ids_stay(address: object, instant: object, uid: object, year: int, number: int) -> None:
    text = f"{address} {uid} CVE-{year}-{number:04d} rule {number}"
    assert mask_contacts(text) == text


@given(st.binary(min_size=16, max_size=64))
def test_hashes_stay(content: bytes) -> None:
    assert mask_contacts(content.hex()) == content.hex() or re.fullmatch(r"\d+", content.hex())


_PIECES = st.sampled_from(
    (
        *("13800138000", "+84 912 345 678", "192.168.1.10", "4111111111111111", "a@example.com", "x", " ", "\n", "\\"),
        *("１３８００１３８０００", "\u200b", "/", "中文", ",", ":", "{", "]", "\\n", "u0041", "\x01", "\x00", '"'),
    )
)
_TEXTS = st.lists(_PIECES, max_size=6).map("".join)
_LEAVES = (
    _TEXTS | st.none() | st.booleans() | st.integers(-(10**19), 10**19) | st.just(13800138000) | st.floats(-1e20, 1e20)
)


@given(st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4)))
def test_a_written_json_text_is_masked_as_its_value_is(value: Any) -> None:
    assert json.loads(mask_json(to_json(value).decode())) == mask_tree(value)


@given(st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4)))
def test_nothing_is_masked_in_what_has_no_contacts(value: Any) -> None:
    text = to_json(value).decode()
    if not has_contacts(text):
        assert mask_json(text) == text
        as_texts = json.loads(text, parse_float=lambda number: str(float(number)), parse_int=str)
        assert mask_tree(as_texts) == as_texts


@pytest.mark.parametrize("value", ["13800138000", 13800138000, -13800138000, 13800138000.0, "a@b.cn", "+2905123"])
def test_contacts_are_noticed_wherever_they_are(value: Any) -> None:
    for around in (value, [value], {"a": {"b": ["x" * 90, value]}}, {str(value): 1}, [f"{'x ' * 50}{value}"]):
        assert has_contacts(to_json(around).decode())
        assert has_contacts(json.dumps(around, indent=2))


def test_what_must_stay_beside_a_contact_does_not_hide_it() -> None:
    """Texts with nothing but machine identifiers are passed over early; one contact among them is still found."""
    machine = "2026-11-20T01:02:03.123+0000 192.168.1.10 1795103267.912044 CVE-2024-12345"

    assert mask_contacts(machine) == machine
    assert mask_contacts(f"{machine} 13800138000") == f"{machine} [phone]"
    assert mask_contacts(f"{machine} an@example.com") == f"{machine} [email]"
