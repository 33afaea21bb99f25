"""Keeping contact data and identity numbers out of what is recorded.

Titles, notes and alert texts become events, log lines and board rows, which must not hold personal data of anybody
affected. `mask_contacts` replaces what looks like such data with the name of its type; `refuse_contacts` tells the
person who typed it where it belongs. Both look only for shapes that can be checked: email addresses, telephone
numbers, 18-digit resident identity numbers of China (GB 11643-1999) and payment card numbers (ISO/IEC 7812-1).

Machine identifiers (addresses of hosts, UUIDs, hashes, timestamps, CVE and rule numbers, Windows SIDs, versions) stay.
A bare 11-digit count that happens to be a valid Chinese mobile number cannot be told from one and is masked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

import phonenumbers

from incidents.errors import InvalidInput

REGIONS = ("CN", "VN")
"""Countries whose numbers are recognised without a country code (ISO 3166-1); others need `+` or a usual grouping."""

_SHORT = 80
"""Longest text that is remembered, in characters."""

_REMEMBERED = 1_000
"""Longest literal of a JSON text that is remembered: thousands of longer ones would be all the memory there is."""

_SMALLEST_NUMBER = 1_000_000
"""Nothing smaller is masked. Of larger numbers with a fraction we do not know how they will be written."""

_BETWEEN = r"[ .()/-]{0,2}"
"""What stands between two digits of one number."""

_SHAPE: dict[int, str | None] = {
    **dict.fromkeys(range(128), "x"),
    **dict.fromkeys(map(ord, "0123456789"), "0"),
    **dict.fromkeys(map(ord, " .()/-")),  # taken out
    ord("+"): "+",
}
_NINE_DIGITS, _PLUS_SEVEN = "0" * 9, "+" + "0" * 7
"""One of these is in the shape of every text with a run (below): most leave by this, which costs next to nothing."""
_SHORTEST = len(_PLUS_SEVEN)
"""No shorter text has a run, unless one of its characters stands for several digits."""

_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_ALL_STAYS = (
    rf"(?<!\.\d)(?:(?:(?<=2)(?:5[0-5]|[0-4]\d)|(?<=1)\d\d|\d)?(?:\.{_OCTET}){{3}}|(?<=[12])\d{{9}}\.\d+)"
    rf"(?!{_BETWEEN}\d)"
)
"""After its first digit: an IPv4 address or a time of `_KEEP` and nothing else."""

_RUN = re.compile(
    r"[+(\d](?<![0-9A-Za-z_][+(\d])"
    rf"(?:(?<=\d)(?=(?:{_BETWEEN}\d){{8}})(?<!\d\.\d)(?![0-9]{{20}}|{_ALL_STAYS})"
    rf"|(?<=\+)\d(?:{_BETWEEN}\d){{6}}|(?<=\()\d(?:{_BETWEEN}\d){{8}})"
    rf"(?:{_BETWEEN}\d)*"
)
"""Digits that belong together, as many as the shortest number has. Every number that is masked begins in one and ends
in it (an `X` may follow), so that most texts leave after one scan, and of the others little is looked at closely."""

_LONGEST = 64
"""No number that is masked has more characters."""

_LONGEST_TIME = 40
"""What must stay has no space inside, but for a time, which is no longer than this."""

_PLAIN = str.maketrans(
    "０１２３４５６７８９＋＠．－（）"
    "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
    "\u2010\u2011\u2012\u2013\u2014\u2015\u2212",
    "0123456789+@.-()" + " " * 15 + "-" * 7,
)
"""Full-width forms, other spaces and dashes, one character for one, so that places in the text stay the same."""

_UNSEEN = re.compile(
    "[\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\ufe00-\ufe0f\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0001-\U000e01ef]"
)
"""What shows nothing (Unicode category Cf, joiners, variation selectors) and could stand inside a number."""

_START = r"(?<![0-9A-Za-z_])(?<!\d\.)"
_END = r"(?![0-9A-Za-z_])"

_KEEP = re.compile(
    "(?=[0-9A-Fa-fRSU])"  # what they all begin with: most places are passed over by this alone
    "(?:"
    + "|".join(
        (
            rf"{_START}(?:[0-9A-Fa-f]{{8}}(?:-[0-9A-Fa-f]{{4}}){{3}}-[0-9A-Fa-f]{{12}}"  # UUID
            rf"|[0-9A-Fa-f]{{2}}(?:[:-][0-9A-Fa-f]{{2}}){{5,}}){_END}",  # MAC address, fingerprint
            r"\b(?:S-1-\d{1,3}(?:-\d+)+"  # Windows security identifier
            r"|(?:CVE|CNVD|CNNVD|RHSA|RHBA|USN)-\d{4}[-:]\d+)",
            rf"(?<!\d)(?:(?<!\.)(?:{_OCTET}\.){{3}}{_OCTET}(?!\d|\.\d)"  # IPv4
            r"|(?:19|20)\d{2}[-/](?:0\d|1[0-2])[-/][0-3]\d"
            r"(?:[T ][0-2]\d:[0-5]\d(?::[0-6]\d(?:[.,]\d{1,9})?)?(?: ?[+-]\d{2}:?\d{2})?)?(?!\d)"  # date, time
            r"|(?<!\.)[12]\d{9}\.\d+)",  # seconds since 1970 with a fraction, Wazuh's alert ids
        )
    )
    + ")"
)
"""What has digits and must stay: no contact is looked for inside."""


@dataclass(frozen=True, slots=True)
class _Kind:
    pattern: re.Pattern[str]
    check: Callable[[str], str | None]
    """The type of a candidate, or None when it only looked like one."""


def _kind(pattern: str, check: Callable[[str], str | None]) -> _Kind:
    return _Kind(re.compile(pattern), check)


def _email(text: str) -> str | None:
    return None if text.lower().endswith(_KEY_EXCHANGE_DOMAINS) else "email"


def _resident_id(text: str) -> str | None:
    bare = re.sub(r"[ -]", "", text)
    try:
        born = date(int(bare[6:10]), int(bare[10:12]), int(bare[12:14]))
    except ValueError:
        return None
    # A mistyped number is still about a person, so the check digit is not asked for.
    return "id-number" if 1900 <= born.year <= 2099 and "11" <= bare[:2] <= "91" else None


def _card(text: str) -> str | None:
    digits = re.sub(r"[ -]", "", text)
    if not any(digits.startswith(head) and len(digits) in lengths for head, lengths in _CARD_LENGTHS):
        return None
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + position % 2)
        total += value - 9 if value > 9 else value
    return "card" if total % 10 == 0 else None


def _phone_with_code(text: str) -> str | None:
    return _phone(text, None, phonenumbers.is_possible_number)


def _phone_with_zeros(text: str) -> str | None:
    return _phone(f"+{text[2:]}", None, phonenumbers.is_valid_number)


def _phone_at_home(text: str) -> str | None:
    found = (_phone(text, region, phonenumbers.is_valid_number) for region in REGIONS)
    return next((kind for kind in found if kind is not None), None)


def _phone_us(text: str) -> str | None:
    return _phone(text, "US", phonenumbers.is_valid_number)


def _phone(text: str, region: str | None, check: Callable[[phonenumbers.PhoneNumber], bool]) -> str | None:
    try:
        return "phone" if check(phonenumbers.parse(text, region)) else None
    except phonenumbers.NumberParseException:
        return None


_HOUSE = "(?i:localhost|localdomain|local|lan|intranet|internal|corp|mail)"
"""Hosts without a dot that mail is written to. Only a name of several words before the `@` is taken for a person:
`svc_backup@localhost` is an account."""

_KINDS: tuple[_Kind, ...] = (
    _kind(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}", _email),
    _kind(r"[\w.+-]{1,64}@(?:[\w-]{1,63}[.。]){1,8}[^\W\d_]{2,24}", _email),
    _kind(rf"[^\W\d_][^\W_]{{0,31}}(?:\.[^\W\d_][^\W_]{{0,31}}){{1,3}}@{_HOUSE}(?![\w-]|\.\w)", lambda _: "email"),
    _kind(r"(?<![0-9A-Za-z_+])\+\d(?:(?:\(0\)|[ .()/-]{0,2})\d){6,14}(?!\d)", _phone_with_code),
    _kind(rf"{_START}[1-9]\d{{5}}[ -]?\d{{8}}[ -]?\d{{3}}[\dXx]{_END}", _resident_id),
    _kind(rf"{_START}[2-9]\d{{3}}(?:[ -]?\d{{4}}){{2,3}}(?:[ -]?\d{{1,4}})?{_END}", _card),
    _kind(rf"{_START}3\d{{3}}[ -]?\d{{6}}[ -]?\d{{4,5}}{_END}", _card),
    _kind(rf"{_START}00[1-9](?:[ .-]?\d){{8,13}}{_END}", _phone_with_zeros),
    _kind(rf"{_START}(?:(?:00)?86[ -]?)?1[3-9]\d(?P<s>[ -]?)\d{{4}}(?P=s)\d{{4}}{_END}", lambda _: "phone"),
    _kind(rf"{_START}(?:(?:00)?86[ .-]?)?1[3-9]\d\.\d{{4}}\.\d{{4}}(?!\.\d){_END}", lambda _: "phone"),
    _kind(rf"{_START}1[3-9]\d(?P<s>[ -])\d{{3}}(?P=s)\d{{5}}{_END}", lambda _: "phone"),
    _kind(rf"{_START}(?:84[ .-]?|0)[235789]\d(?P<s>[ .-]?)\d{{3}}(?P=s)\d{{3,4}}{_END}", _phone_at_home),
    _kind(rf"{_START}(?:84[ .-]?|0)[35789]\d{{2}}(?P<s>[ .-])\d{{3}}(?P=s)\d{{3}}{_END}", _phone_at_home),
    _kind(rf"{_START}\(?0\d{{2,3}}[) -]{{1,2}}\d{{3,4}}[ -]?\d{{4}}{_END}", _phone_at_home),
    _kind(rf"{_START}(?:\(\d{{3}}\) ?|\d{{3}}(?P<s>[ .-]))\d{{3}}[ .-]\d{{4}}{_END}", _phone_us),
)
"""In order of precedence. Candidates that fail their check hide nothing: the search goes on one character later."""

_ADDRESSES = tuple(kind for kind in _KINDS if "@" in kind.pattern.pattern)
_NUMBERS = tuple(kind for kind in _KINDS if "@" not in kind.pattern.pattern)

_CARD_LENGTHS: tuple[tuple[str, frozenset[int]], ...] = (
    ("4", frozenset({16, 19})),
    ("34", frozenset({15})),
    ("37", frozenset({15})),
    ("30", frozenset({14})),
    ("36", frozenset({14})),
    ("38", frozenset({14})),
    ("35", frozenset({16, 17, 18, 19})),
    ("5", frozenset({16})),
    ("22", frozenset({16})),
    ("23", frozenset({16})),
    ("24", frozenset({16})),
    ("25", frozenset({16})),
    ("26", frozenset({16})),
    ("27", frozenset({16})),
    ("60", frozenset({16, 17, 18, 19})),
    ("62", frozenset({16, 17, 18, 19})),
    ("65", frozenset({16, 17, 18, 19})),
    ("9704", frozenset({16, 19})),
)
"""Leading digits of the card schemes in use and the lengths they issue (9704 is NAPAS of Viet Nam, 62 UnionPay)."""

_KEY_EXCHANGE_DOMAINS = ("openssh.com", "libssh.org", "lysator.liu.se", "ssh.com")
"""Private SSH algorithm names have the shape of an address (RFC 4251 section 6)."""


def mask_contacts(text: str) -> str:
    """The text with email addresses, telephone, identity and card numbers replaced by `[email]`, `[phone]`,
    `[id-number]` and `[card]`. Masking twice changes nothing more."""
    return _masked_again(text) if len(text) <= _SHORT else _masked(text)


def _masked(text: str) -> str:
    parts: list[str] = []
    done = 0
    for start, end, kind in _find(text):
        parts += (text[done:start], f"[{kind}]")
        done = end
    return "".join((*parts, text[done:])) if parts else text


_masked_again = lru_cache(maxsize=4_096)(_masked)
"""Most short texts come again and again: names of fields, hosts, rules and addresses of machines."""


def find_contacts(text: str) -> tuple[str, ...]:
    """The types of contact data in a text (`email`, `phone`, `id-number`, `card`), each once, in order of type."""
    return tuple(sorted({kind for _, _, kind in _find(text)}))


def has_contacts(text: str) -> bool:
    """Whether masking would change anything in a JSON value that is written out, however its numbers are written once
    they are texts."""
    parts = _split(text)
    between = '"'.join([part for part in parts[::2] if len(part) >= _SHORTEST_WITH_NUMBER])
    if _WORTH_A_LOOK.search(between) and any(map(_is_suspect, _NUMBER.findall(between))):
        return True
    # Most texts were seen before, in an alert of the same kind.
    return _clean.is_left_by(parts[1::2])


def _is_suspect(number: str) -> bool:
    if number.lstrip("-").isdigit():
        return bool(_find(number))
    return abs(float(number)) >= _SMALLEST_NUMBER  # it may be written with all its digits one day


class _Clean:
    """Remembers literals without contacts. May forget all of them at any time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def is_left_by(self, literals: Iterable[str]) -> bool:
        """Whether one of these has contacts. Those that have none are known from now on."""
        for literal in set(literals).difference(self._known):
            may_have = len(literal) >= _SHORTEST or "@" in literal or not literal.isascii()
            if may_have and _find(_plain(literal)):
                return True
            if len(literal) <= _SHORT:
                if len(self._known) >= self._most:
                    self._known = set()
                self._known.add(literal)
        return False


def refuse_contacts(text: str, field: str) -> str:
    """The text unchanged. InvalidInput naming the field (never the value) when it holds contact data."""
    found = find_contacts(text)
    if found:
        words = " and ".join(_WORDS[kind] for kind in found)
        raise InvalidInput(
            f"This text holds {words}. What is written here is kept for good and seen by many: "
            "take it out, and put people's contact data into the audience, where it is encrypted.",
            field=field,
        )
    return text


def mask_tree(value: Any) -> Any:
    """A copy of a JSON value with every string and key masked, and every number that is one of those numbers."""
    if isinstance(value, str):
        return mask_contacts(value)
    if isinstance(value, dict):
        # Texts are looked up here and not by a call each: a finding has a hundred of them.
        return {
            mask_contacts(key if type(key) is str else str(key)): (
                _masked_again(item) if len(item) <= _SHORT else _masked(item)
            )
            if type(item) is str
            else mask_tree(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [mask_tree(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and value > 9_999_999_999:
        text = str(value)
        masked = mask_contacts(text)
        return value if masked == text else masked
    return value


def mask_json(text: str) -> str:
    """`mask_tree` for a JSON value that is written out (without spaces): most of it is copied without being read."""
    parts = _split(text)
    for place, between in enumerate(parts[::2]):
        if len(between) > _LONGEST_SMALL_NUMBER:
            parts[2 * place] = _LARGE_NUMBER.sub(_mask_number, between)
    parts[1::2] = [
        _masked_literal(literal) if len(literal) <= _REMEMBERED else _mask_literal(literal) for literal in parts[1::2]
    ]
    return '"'.join(parts)


def _split(text: str) -> list[str]:
    """A JSON text by its quotes: every second part is a literal, with its own backslashes and quotes as control
    characters, neither of which can be in a JSON text."""
    if "\\" in text:
        text = text.replace("\\\\", "\x00").replace('\\"', "\x01")
    return text.split('"')


def _mask_number(found: re.Match[str]) -> str:
    masked = mask_contacts(found[0])
    return found[0] if masked == found[0] else f'"{masked}"'


def _mask_literal(literal: str) -> str:
    """A literal as `_split` leaves it, masked and as it was."""
    plain = _plain(literal)
    masked = mask_contacts(plain)
    if masked != plain:
        return json.dumps(masked)[1:-1]
    return literal.replace("\x01", '\\"').replace("\x00", "\\\\")


def _plain(literal: str) -> str:
    """What a literal says."""
    if "\\" not in literal and "\x00" not in literal and "\x01" not in literal:
        return literal
    escaped = literal.replace("\x01", '\\"').replace("\x00", "\\\\")
    text: str = json.loads(f'"{escaped}"')
    return text


_masked_literal = lru_cache(maxsize=16_384)(_mask_literal)
_clean = _Clean(most=4_096)
_WORTH_A_LOOK = re.compile(r"\d{7}|\d[.eE]")
_NUMBER = re.compile(r"-?\d[\d.eE+-]*")
_SHORTEST_WITH_NUMBER = 5
"""What stands between two texts and has a number worth a look in it is no shorter: `:1e9,`."""
_LONGEST_SMALL_NUMBER = 10
_LARGE_NUMBER = re.compile(r"(?<![\d.eE+-])\d{11,}(?![\d.eE])")
"""Whole numbers above 9,999,999,999."""

_WORDS = {
    "card": "a payment card number",
    "email": "an email address",
    "id-number": "an identity number",
    "phone": "a telephone number",
}


def _find(text: str) -> list[tuple[int, int, str]]:
    """Where contacts are: start, end and type, in order, none overlapping another."""
    plain, places = (text, None) if text.isascii() else _seen(text)
    has_address = "@" in plain
    shape = plain.translate(_SHAPE) if plain.isascii() else None
    may_have = shape is None or _NINE_DIGITS in shape or _PLUS_SEVEN in shape
    first = _RUN.search(plain) if may_have else None
    if first is None and not has_address:
        return []
    taken = bytearray(len(plain))
    begin = 0 if has_address or first is None else plain.rfind(" ", 0, max(0, first.start() - _LONGEST_TIME)) + 1
    rest = _take_what_stays(plain, begin, taken)
    found: list[tuple[int, int, str]] = []
    if has_address:
        for kind in _ADDRESSES:
            found += _search(kind, plain, (0, len(plain), len(plain)), taken)
    for run in _RUN.finditer(rest, first.start()) if first is not None else ():
        start, end = run.span()
        # What stays and follows at once belongs to a number that is none for that reason: it must be seen.
        until = end + (_LONGEST if 1 in taken[end : end + 3] else 3)
        for kind in _NUMBERS:
            found += _search(kind, plain, (start, end, until), taken)
    if places is not None:
        found = [(places[start], places[end - 1] + 1, name) for start, end, name in found]
    return sorted(found)


def _take_what_stays(plain: str, begin: int, taken: bytearray) -> str:
    """Mark what must stay from `begin` on. Returns the text without it, as long as before."""
    parts: list[str] = []
    done = 0
    for keep in _KEEP.finditer(plain, begin):
        start, end = keep.span()
        taken[start:end] = b"\1" * (end - start)
        parts += (plain[done:start], "_" * (end - start))
        done = end
    return "".join((*parts, plain[done:])) if parts else plain


def _search(kind: _Kind, plain: str, window: tuple[int, int, int], taken: bytearray) -> Iterator[tuple[int, int, str]]:
    """Contacts of a kind that begin in the window (its start and end, and the end of what is looked at), marked."""
    at, last, until = window
    while (match := kind.pattern.search(plain, at, until)) is not None and match.start() < last:
        start, end = match.span()
        at = start + 1
        if 1 in taken[start:end] or (name := kind.check(match[0])) is None:
            continue
        yield start, end, name
        taken[start:end] = b"\1" * (end - start)
        at = end


def _seen(text: str) -> tuple[str, Sequence[int] | None]:
    """What a reader sees of a text, and where each character stood (None: where it stands)."""
    plain = text.translate(_PLAIN)
    if _UNSEEN.search(plain) is None:
        return plain, None
    places = [place for place, character in enumerate(plain) if not _UNSEEN.match(character)]
    return "".join(plain[place] for place in places), places
