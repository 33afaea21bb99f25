"""Whatever bytes arrive: a finding, or an error that names the place. Never anything else, and never slowly."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incidents.alerts.correlation import default_correlation_table
from incidents.alerts.dialects import DIALECTS, Limits, parse, parse_many
from incidents.alerts.identity import alert_id_of
from incidents.errors import InvalidInput, TooLarge
from tests.incidents.alerts.samples import finding_in, ocsf, ocsf_bytes, wazuh, wazuh_bytes

CONTACTS = st.sampled_from(
    (
        *("13800138000", "an@example.com", "T1110.13800138000", "C:\\logs\\+84 912 345 678", "4111111111111111"),
        *(13800138000, -13800138000, 13800138000.0, "192.168.1.10 13800138000"),
    )
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | CONTACTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (wazuh_bytes()[:100], "ends too early.*line 1 column 1"),
        (b'{"rule": {,}}', "line 1 column 11"),
        (b"[1, 2]", "an array"),
        (b'"alert"', "a text"),
        (b"null", "null"),
        (b"17", "a number"),
        (b'{"a": NaN}', "not valid JSON"),
        (b'{"a": Infinity}', "not valid JSON"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"1" * 5000 + b"}", "number"),
        (b'{"a": 1, "b": 2, "a": 3}', "'a' occurs twice"),
        (b'{"rule": {"id": "1", "id": "2"}}', "'id' occurs twice"),
        (b'{"a": "\\ud800"}', "not valid JSON"),
        (b'{"a": "\xff"}', "not valid JSON"),
        (b"\xff\xfe{\x00}\x00", "not valid JSON"),
        (b'{"a": ' * 65 + b"1" + b"}" * 65, "deeper than 64"),
        (b"[" * 100_000, "deeper than 64"),
        (b'{"a": 1} trailing', "trailing"),
    ],
)
@pytest.mark.parametrize("dialect", sorted(DIALECTS))
def test_bytes_that_are_no_json_object_are_refused(dialect: str, raw: bytes, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        finding_in(dialect, raw)
    assert [fault.field for fault in caught.value.errors] == ["body"]


def test_depth_counts_levels_not_brackets() -> None:
    many = {"list": [{} for _ in range(200)], "text": "[{" * 200 + '\\"'}
    deep: object = 1
    for _ in range(62):
        deep = [deep]

    assert finding_in("wazuh", json.dumps(wazuh(data=many)).encode()).rule == "5763"
    assert finding_in("wazuh", json.dumps(wazuh(data={"deep": deep})).encode()).rule == "5763"
    with pytest.raises(InvalidInput, match="deeper than 64"):
        finding_in("wazuh", json.dumps(wazuh(data={"deep": [deep]})).encode())


def test_what_is_deep_can_be_kept_masked() -> None:
    deep: object = "call +86 138 0013 8000"
    for _ in range(62):
        deep = [deep]
    kept = parse("wazuh", json.dumps(wazuh(data={"deep": deep})).encode()).kept

    assert "[phone]" in kept.text
    assert not kept.as_received


def test_fifty_megabytes_are_refused_without_being_read() -> None:
    huge = b'{"a": "' + b"x" * 50_000_000 + b'"}'
    before = time.process_time()

    with pytest.raises(TooLarge, match="1048576") as one:
        finding_in("wazuh", huge)
    with pytest.raises(TooLarge, match="16777216"):
        parse_many("wazuh", huge)

    assert [fault.field for fault in one.value.errors] == ["body"]
    assert time.process_time() - before < 1, "refusing must not cost more than looking at the length"


def test_a_byte_order_mark_does_no_harm() -> None:
    assert finding_in("wazuh", b"\xef\xbb\xbf" + wazuh_bytes()) == finding_in("wazuh", wazuh_bytes())


def test_errors_never_repeat_what_was_sent() -> None:
    secret = "zhang.wei@example.com"
    for raw in (
        wazuh_bytes(timestamp=secret),
        wazuh_bytes(rule__level=secret),
        wazuh_bytes(agent=secret),
        ocsf_bytes("falco", time=secret, severity_id=secret, metadata=secret),
    ):
        dialect = "wazuh" if b'"rule"' in raw else "ocsf"
        with pytest.raises(InvalidInput) as caught:
            finding_in(dialect, raw)
        assert secret not in str(caught.value) + "".join(fault.reason for fault in caught.value.errors)


def read_all(dialect: str, raw: bytes) -> None:
    """A finding from which everything can be made, or InvalidInput."""
    try:
        finding = finding_in(dialect, raw)
    except InvalidInput:
        return
    assert alert_id_of(finding)
    assert default_correlation_table().correlate(dialect, finding).key
    assert finding.title
    assert finding.detected_at.tzinfo is not None


@given(st.sampled_from(sorted(DIALECTS)), st.binary(max_size=200))
def test_any_bytes_are_a_finding_or_invalid_input(dialect: str, raw: bytes) -> None:
    read_all(dialect, raw)


@given(st.sampled_from(sorted(DIALECTS)), JSON)
def test_any_json_is_a_finding_or_invalid_input(dialect: str, value: object) -> None:
    read_all(dialect, json.dumps(value).encode())


@given(st.data())
def test_a_true_alert_with_any_field_replaced_is_a_finding_or_invalid_input(data: st.DataObject) -> None:
    dialect = data.draw(st.sampled_from(["wazuh", "ocsf"]))
    document = wazuh() if dialect == "wazuh" else ocsf(data.draw(st.sampled_from(["falco", "qradar", "guardduty"])))
    for _ in range(data.draw(st.integers(1, 3))):
        holder = document
        key = data.draw(st.sampled_from(sorted(holder)))
        while isinstance(holder[key], dict) and holder[key] and data.draw(st.booleans()):
            holder = holder[key]
            key = data.draw(st.sampled_from(sorted(holder)))
        holder[key] = data.draw(JSON)
    read_all(dialect, json.dumps(document).encode())


@given(st.integers(0, 2000), st.binary(max_size=4))
def test_a_true_alert_with_bytes_replaced_is_a_finding_or_invalid_input(place: int, patch: bytes) -> None:
    raw = wazuh_bytes()
    place %= len(raw)
    read_all("wazuh", raw[:place] + patch + raw[place + len(patch) :])


def test_a_batch_may_be_an_array_lines_or_one_alert() -> None:
    alerts = [wazuh(id=f"1795103267.{n}") for n in range(3)]
    array = json.dumps(alerts).encode()
    lines = b"\r\n".join(json.dumps(alert).encode() for alert in alerts) + b"\n"
    one = json.dumps(alerts[0], indent=2).encode()

    uids = [f"1795103267.{n}" for n in range(3)]
    for raw, wanted in ((array, uids), (lines, uids), (one, uids[:1])):
        assert [item.parsed and item.parsed.finding.uid for item in parse_many("wazuh", raw)] == wanted


def test_one_bad_alert_does_not_spoil_a_batch() -> None:
    array = json.dumps([wazuh(), 7, wazuh(rule__level=99)]).encode()
    lines = b"\n".join([wazuh_bytes(), b"{", wazuh_bytes(rule__level=99), b"[]"])

    assert [item.error is None for item in parse_many("wazuh", array)] == [True, False, False]
    assert [item.error is None for item in parse_many("wazuh", lines)] == [True, False, False, False]
    assert [item.error is None for item in parse_many("wazuh", b"{\n" + wazuh_bytes())] == [False, True]


def test_batches_have_limits() -> None:
    limits = Limits(max_items=2, max_batch_bytes=100_000, max_bytes=5_000)

    with pytest.raises(TooLarge, match="3 alerts"):
        parse_many("wazuh", b"[{},{},{}]", limits)
    with pytest.raises(TooLarge, match="3 alerts"):
        parse_many("wazuh", b"{}\n{}\n{}", limits)
    with pytest.raises(TooLarge, match="at most 100000"):
        parse_many("wazuh", b" " * 100_001, limits)
    (item,) = parse_many("wazuh", json.dumps([wazuh(full_log="x" * 6_000)]).encode(), limits)
    assert isinstance(item.error, TooLarge)


def test_a_batch_that_is_none_is_refused_as_a_whole() -> None:
    for raw in (b"", b"[", b"17", b"[{]"):
        with pytest.raises(InvalidInput):
            parse_many("wazuh", raw)
