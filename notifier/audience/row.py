"""One line of the file, checked field by field. Pure: text in, a person or faults out.

No fault repeats what the field held: faults are shown, logged and kept; contacts are not.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import phonenumbers
from babel import Locale, UnknownLocaleError
from email_validator import EmailNotValidError, validate_email

from incidents.errors import InvalidInput
from incidents.record.event import Model
from notifier.direction import turns_direction

COLUMNS = ("name", "phone", "email", "language", "country")
MORE_COLUMNS = ("im", "address")
"""Columns that a file may have besides: where the person is reached by instant message, as `service:identifier`, and
the postal address, its lines separated by `|`."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_ORDINARY_LOCAL = re.compile(r"[A-Za-z0-9_+-]{1,32}(?:\.[A-Za-z0-9_+-]{1,15}){0,2}")
"""Local parts of an address that need no closer look: at most 64 characters of a dot-atom (RFC 5322 section 3.2.3)."""
_MAX_EMAIL = 254
_IM = re.compile(r"[a-z][a-z0-9-]{0,19}:(?!.*\.\.)[A-Za-z0-9@._+=-]{1,120}")
MAX_ADDRESS_LINES = 7
"""What fits the window of an envelope."""
_NOT_COUNTRIES = {"EU", "EZ", "QO", "UN", "XA", "XB", "ZZ"}
_COUNTRIES = {
    code
    for code in map(str, Locale("en").territories)
    if len(code) == 2 and code.isalpha() and code not in _NOT_COUNTRIES
}


class RowFault(Model):
    """What is wrong in one row. `row` counts records with the header as 1, as a spreadsheet shows them."""

    row: int
    field: str
    reason: str


@dataclass(frozen=True, slots=True)
class Person:
    """A checked row: `phone` is E.164, `email` normalised, `language` one the notice exists in."""

    name: str
    phone: str | None
    email: str | None
    language: str
    country: str
    im: str | None = None
    """`service:identifier`."""
    postal: str | None = None
    """Lines of the postal address, separated by line feeds."""


LanguageChooser = Callable[[str], str | None]
"""From a language tag to the notice language its speaker gets; None when the tag is no language."""


def language_chooser(
    available: Sequence[str], fallbacks: dict[str, tuple[str, ...]], default: str | None
) -> LanguageChooser:
    """Choose among the notice languages: language with script and territory, with territory, with script, alone, each
    followed by its `fallbacks`, then the default. The script is the likely one (CLDR): `zh-CN`, `zh-SG` and `zh` lead
    to `zh-Hans`; `zh-TW`, `zh-HK` and `zh-MO` to `zh-Hant`, and to `zh-Hans` only where a fallback says so.
    InvalidInput when there is no notice in the default; without a default, None where nothing fits."""
    if default is not None and default not in available:
        raise InvalidInput(
            f"There is no notice in {default[:20]!r}; there are {', '.join(available)}.",
            field="audience.default_language",
        )

    @lru_cache(maxsize=1024)
    def choose(tag: str) -> str | None:
        try:
            locale = Locale.parse(tag.strip().replace("_", "-"), sep="-")
        except (UnknownLocaleError, ValueError, TypeError):
            return None
        script = locale.script or ("Hans" if locale.language == "zh" else None)
        forms = [f"{locale.language}-{script}-{locale.territory}"] if script and locale.territory else []
        forms += [f"{locale.language}-{locale.territory}"] if locale.territory else []
        forms += [f"{locale.language}-{script}"] if script else []
        forms.append(locale.language)
        for form in forms:
            for candidate in (form, *fallbacks.get(form, ())):
                if candidate in available:
                    return candidate
        return default

    return choose


class RowChecker:
    """Checks rows against the rules of one import."""

    def __init__(
        self, choose_language: LanguageChooser, *, max_field: int = 320, extra_numbers: Sequence[str] = ()
    ) -> None:
        self._choose_language = choose_language
        self._max_field = max_field
        self._extra_numbers = [re.compile(pattern) for pattern in extra_numbers]

    def check(self, row: int, cells: dict[str, str]) -> Person | list[RowFault]:
        """The person, or every fault of the row."""
        faults: list[RowFault] = []

        def refuse(field: str, reason: str) -> None:
            faults.append(RowFault(row=row, field=field, reason=reason))

        clean = {field: _clean(cells[field]) for field in COLUMNS}
        more = {field: _clean(cells[field]) for field in MORE_COLUMNS if cells.get(field)}
        clean |= more
        for field, value in clean.items():
            if reason := self._unsafe(field, value):
                refuse(field, reason)
        sound = clean.keys() - {fault.field for fault in faults} if faults else clean.keys()
        country = clean["country"].upper() if "country" in sound else ""
        if "country" in sound and country not in _COUNTRIES:
            refuse("country", "is not a country code of two letters (ISO 3166-1), such as CN, VN or DE")
            country = ""
        name = " ".join(clean["name"].split()) if "name" in sound else ""
        if "name" in sound and (reason := _name_fault(name)):
            refuse("name", reason)
        language = self._choose_language(clean["language"]) if "language" in sound else None
        if "language" in sound and language is None:
            refuse("language", "is not a language tag (BCP 47), such as en, zh-Hans or vi")
        phone = email = None
        if clean["phone"] and "phone" in sound:
            phone = self._phone(clean["phone"], country)
            if phone is None:
                refuse("phone", "is not a phone number of that country; give it as +<country code><number>")
        if clean["email"] and "email" in sound:
            email = _email(clean["email"])
            if email is None:
                refuse("email", "is not an email address")
        im, postal = more.get("im"), _postal(more.get("address", ""))
        for field, reason in _more_faults(im if "im" in sound else None, postal if "address" in sound else None):
            refuse(field, reason)
        if not (clean["phone"] or clean["email"] or im or postal):
            refuse("phone", "is empty and so is email: nobody can be told without one of them")
        if faults or language is None:
            return faults
        return Person(name, phone, email, language, country, im, postal)

    def _unsafe(self, field: str, value: str) -> str | None:
        if len(value) > self._max_field:
            return f"is longer than {self._max_field} characters"
        if not (value.isascii() and value.isprintable()):  # which would settle it at once
            if "\ufffd" in value:
                return "is not valid UTF-8"
            if any(unicodedata.category(char) in {"Cc", "Cs", "Co", "Zl", "Zp"} for char in value):
                return "holds a line break or another control character"
            if reason := turns_direction(value):
                return reason
        if not value.startswith(_FORMULA_STARTS):
            return None
        looks_like_phone = field == "phone" and re.fullmatch(r"\+[\d\s().\-/]+", value)
        return None if looks_like_phone else "begins like a spreadsheet formula (= + - @ or a tab)"

    def _phone(self, value: str, country: str) -> str | None:
        try:
            number = phonenumbers.parse(value, country or None)
        except phonenumbers.NumberParseException:
            return None
        e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        if number.extension:
            return None
        if phonenumbers.is_valid_number(number) or any(known.fullmatch(e164) for known in self._extra_numbers):
            return e164
        return None


def _more_faults(im: str | None, postal: str | None) -> Iterator[tuple[str, str]]:
    if im is not None and not _IM.fullmatch(im):
        yield "im", "is not <service>:<identifier>, such as telegram:123456789"
    if postal is not None and (reason := _postal_fault(postal)):
        yield "address", reason


def _postal(value: str) -> str | None:
    lines = [" ".join(line.split()) for line in value.split("|")]
    return "\n".join(line for line in lines if line) or None


def _postal_fault(postal: str) -> str | None:
    lines = postal.split("\n")
    if len(lines) > MAX_ADDRESS_LINES:
        return f"has more than {MAX_ADDRESS_LINES} lines"
    return "has a line of more than 60 characters; separate lines with |" if max(map(len, lines)) > 60 else None


def _name_fault(name: str) -> str | None:
    if not name:
        return "is empty"
    if len(name) > 200:
        return "is longer than 200 characters"
    # A name is printed in a notice people are asked to trust: it must not smuggle in a link.
    if "://" in name or re.search(r"\bwww\.", name, re.IGNORECASE) or "<" in name or ">" in name:
        return "holds a link or markup, which no name has"
    return None


def _clean(value: str) -> str:
    stripped = value.strip(" \u00a0\u3000\ufeff")
    return stripped if stripped.isascii() else unicodedata.normalize("NFC", stripped)


def _email(value: str) -> str | None:
    local, _, domain = value.rpartition("@")
    if _ORDINARY_LOCAL.fullmatch(local) and len(value) <= _MAX_EMAIL and domain.isascii():
        # An ordinary local part stays as it is; what the library does with domains is known for those seen before.
        known = _domain(domain)
        return f"{local}@{known}" if known else None
    return _validated(value)


@lru_cache(maxsize=8192)
def _domain(domain: str) -> str | None:
    normal = _validated(f"a@{domain}")
    return normal.removeprefix("a@") if normal else None


def _validated(value: str) -> str | None:
    try:
        return validate_email(value, check_deliverability=False, allow_smtputf8=False, test_environment=True).normalized
    except EmailNotValidError:
        return None
