"""Checking what is to fill a template. Pure: values in, faults out; and the plain form a language is rendered from."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any
from urllib.parse import urlsplit

import phonenumbers
from babel import Locale
from babel.dates import format_date
from email_validator import EmailNotValidError, validate_email

from incidents.errors import FieldFault, InvalidInput
from incidents.privacy import refuse_contacts
from notifier.direction import turns_direction
from notifier.templates.manifest import Manifest, ValueRule

MAX_ENTRIES = 20
"""Entries in one list: a notice of more points is not read."""

_WORDS = frozenset({"line", "text", "list"})
_OWN_CONTACTS = "Your organisation's own have values of their own (contact_phone, contact_email)."


def check_values(manifest: Manifest, values: Mapping[str, Any]) -> None:
    """InvalidInput naming every value that is unknown or of the wrong form. Missing values are no fault here."""
    faults = list(_faults(manifest, values))
    if faults:
        raise InvalidInput("Some values of the notice are not right.", errors=faults)


def value_in(
    manifest: Manifest, values: Mapping[str, Any], name: str, language: str, *, own: bool = False
) -> Any | None:
    """The value as one language uses it; None when it is absent or blank. A `line` may be one text for all. What is not
    given in a language is taken from the first of its fallbacks that has it, unless it must be the language's `own`."""
    value = values.get(name)
    if manifest.values[name].by_language and isinstance(value, Mapping):
        borrows = () if own else manifest.fallbacks.get(language, ())
        given = (value.get(known) for known in (language, *borrows))
        value = next((text for text in given if text), None)
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, Sequence):
        return [entry.strip() for entry in value if entry.strip()] or None
    return value


def plain_values(manifest: Manifest, values: Mapping[str, Any], language: str) -> dict[str, Any]:
    """Every value of the manifest for one language, dates written out as that language does, absent ones None."""
    plain: dict[str, Any] = {}
    for name, rule in manifest.values.items():
        value = value_in(manifest, values, name, language)
        if rule.type == "date" and value is not None:
            value = format_date(
                date.fromisoformat(value),
                manifest.date_formats.get(language, "long"),
                Locale.parse(language, sep="-"),
            )
        plain[name] = value
    return plain


def _faults(manifest: Manifest, values: Mapping[str, Any]) -> Iterator[FieldFault]:
    for name, value in values.items():
        rule = manifest.values.get(name)
        if rule is None:
            yield FieldFault(f"values.{name[:64]}", "is not a value of this template")
        elif isinstance(value, Mapping):
            if not rule.by_language:
                yield FieldFault(f"values.{name}", "is the same in all languages: give one text")
                continue
            for language, text in value.items():
                if language not in manifest.languages:
                    known = ", ".join(manifest.languages)
                    yield FieldFault(f"values.{name}", f"has a language that the template lacks; it has {known}")
                else:
                    yield from _value_faults(f"values.{name}.{language}", rule, text)
        elif rule.by_language and rule.type != "line":
            yield FieldFault(f"values.{name}", 'differs by language: give {"en": ..., "zh-Hans": ...}')
        else:
            yield from _value_faults(f"values.{name}", rule, value)


def _value_faults(field: str, rule: ValueRule, value: Any) -> Iterator[FieldFault]:
    if rule.type == "list":
        if not isinstance(value, list | tuple):
            yield FieldFault(field, "is a list of texts")
            return
        if len(value) > MAX_ENTRIES:
            yield FieldFault(field, f"has more than {MAX_ENTRIES} entries")
        for index, entry in enumerate(value):
            yield from _text_faults(f"{field}.{index}", rule, entry)
    else:
        yield from _text_faults(field, rule, value)


def _text_faults(field: str, rule: ValueRule, value: Any) -> Iterator[FieldFault]:
    if not isinstance(value, str):
        yield FieldFault(field, "is a text")
        return
    if len(value) > rule.max:
        yield FieldFault(field, f"is longer than {rule.max} characters")
    allowed = "\n" if rule.type == "text" else ""
    if any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} and char not in allowed for char in value):
        yield FieldFault(field, "holds a control character" + ("" if allowed else " or a line break"))
    elif reason := turns_direction(value) or (_form_fault(rule, value) if value.strip() else None):
        yield FieldFault(field, reason)
    elif rule.type in _WORDS:
        yield from _contact_faults(field, value)


def _contact_faults(field: str, value: str) -> Iterator[FieldFault]:
    """What fills a notice is put into events, and is the same for everybody: no person's contact belongs there."""
    try:
        refuse_contacts(value, field)
    except InvalidInput as error:
        for fault in error.errors:
            yield FieldFault(fault.field, f"{fault.reason} {_OWN_CONTACTS}")


def _form_fault(rule: ValueRule, value: str) -> str | None:
    match rule.type:
        case "date":
            try:
                date.fromisoformat(value)
            except ValueError:
                return "is not a date; write YYYY-MM-DD"
        case "email":
            try:
                validate_email(value, check_deliverability=False, test_environment=True)
            except EmailNotValidError:
                return "is not an email address"
        case "url":
            if urlsplit(value).scheme != "https" or not urlsplit(value).hostname:
                return "is not an https address"
        case "phone":
            if not _is_international(value) and not _is_service_number(value):
                return "is not a phone number; write +<country code><number>, or a national service number"
        case _:
            pass
    return None


def _is_international(value: str) -> bool:
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(value, None))
    except phonenumbers.NumberParseException:
        return False


def _is_service_number(value: str) -> bool:
    """Numbers such as 12377, 400 810 0000 or 1900 1234 that work within their country only."""
    digits = value.replace(" ", "").replace("-", "")
    return digits.isascii() and digits.isdigit() and 3 <= len(digits) <= 12
