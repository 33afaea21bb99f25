"""Mails made once and filled in: the same as the `email` library makes for each, whatever people are called."""

from __future__ import annotations

import email
import email.policy
from base64 import b64decode
from email import charset
from email.message import EmailMessage
from uuid import UUID, uuid4

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from notifier.channels.email_form import Base64Form, DateHeader, EmailForm, envelope_address
from notifier.channels.email_message import email_bytes, message_id
from notifier.channels.personal import EmailWords, PersonalEmail, email_words, is_plain, sms_words
from notifier.templates import RenderedEmail, RenderedSms, Templates
from tests.conftest import NIGHT
from tests.notifier.house import VALUES

CAMPAIGN = UUID(int=7)
TEMPLATE = Templates().get("personal-data-breach")
WORDS: dict[str, EmailWords] = {}
for _language in TEMPLATE.languages:
    _words = email_words(lambda name, ref, language=_language: TEMPLATE.render_email(language, VALUES, name, ref))
    assert _words is not None, "our own template can be cut"
    WORDS[_language] = _words

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60).filter(is_plain)
references = st.from_regex(r"[0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]{5}", fullmatch=True)
locals_ = st.text(st.characters(max_codepoint=126, min_codepoint=33), min_size=1, max_size=40)


def form(words: EmailWords, language: str = "en") -> EmailForm:
    return EmailForm(
        words,
        sender_name="Harbour, Clinic 海港",
        sender_address="notice@harbour.example",
        reply_to="privacy@harbour.example",
        language=language,
        campaign=CAMPAIGN,
        domain="harbour.example",
    )


FORMS = {language: form(words, language) for language, words in WORDS.items()}


@settings(deadline=None, max_examples=150)
@given(language=st.sampled_from(sorted(WORDS)), name=names, reference=references)
@example(language="en", name='O\'Brien <b>&amp;</b> "x"', reference="01234-ABCDE")
@example(language="zh-Hans", name="\u202eexe.gpj", reference="01234-ABCDE")
@example(language="vi", name="Subject: you won", reference="01234-ABCDE")
def test_the_same_mail_as_the_library_makes(language: str, name: str, reference: str) -> None:
    key = uuid4()
    made = FORMS[language].write(
        PersonalEmail(WORDS[language], name, reference), b"a.b+c@example.com", key, DateHeader().at(NIGHT)
    )
    library = email_bytes(
        TEMPLATE.render_email(language, VALUES, name, reference),
        sender_name="Harbour, Clinic 海港",
        sender_address="notice@harbour.example",
        reply_to="privacy@harbour.example",
        recipient="a.b+c@example.com",
        language=language,
        identifier=message_id(key, "harbour.example"),
        campaign=CAMPAIGN,
        at=NIGHT,
    )
    ours, theirs = (email.message_from_bytes(one, policy=email.policy.default) for one in (made, library))
    assert isinstance(ours, EmailMessage)
    assert isinstance(theirs, EmailMessage)
    assert ours.items() == theirs.items(), "every header, in order"
    assert not ours.defects
    assert [part.get_content() for part in ours.iter_parts()] == [part.get_content() for part in theirs.iter_parts()]  # type: ignore[attr-defined]
    for line in made.split(b"\r\n"):
        assert len(line) <= 998, "RFC 5322 section 2.1.1"
        assert not line.startswith(b".")
        assert b"\n" not in line
        assert b"\r" not in line


def test_what_a_library_does_to_the_whole_process_changes_no_mail() -> None:
    """Apprise makes the process encode UTF-8 as quoted-printable when it loads; a mail could not be cut any more."""
    before, words = charset.CHARSETS["utf-8"], WORDS["zh-Hans"]
    charset.add_charset("utf-8", charset.QP, charset.QP, "utf-8")
    try:
        again = form(words, "zh-Hans")
    finally:
        charset.CHARSETS["utf-8"] = before
    filled = (PersonalEmail(words, "张晓明", "0" * 11), b"a@example.com", CAMPAIGN, b"today")
    assert again.write(*filled) == FORMS["zh-Hans"].write(*filled)


@given(name=names)
def test_a_name_is_in_no_header_and_its_bytes_nowhere_outside_base64(name: str) -> None:
    made = FORMS["en"].write(PersonalEmail(WORDS["en"], name, "0" * 11), b"a@example.com", CAMPAIGN, b"today")
    neutral = FORMS["en"].write(PersonalEmail(WORDS["en"], "N", "0" * 11), b"a@example.com", CAMPAIGN, b"today")
    heads = [part.split(b"\r\n\r\n")[0] for part in made.split(b"\r\n--=_")]
    assert heads == [part.split(b"\r\n\r\n")[0] for part in neutral.split(b"\r\n--=_")]


pieces = st.lists(st.tuples(st.text(max_size=70), st.sampled_from(["name", "reference"])), max_size=6).flatmap(
    lambda some: st.text(max_size=70).map(lambda last: (*some, (last, None)))
)


@given(pieces=pieces, name=st.binary(max_size=90), reference=st.binary(max_size=12))
def test_base64_made_in_parts_is_the_base64_of_the_whole(pieces: object, name: bytes, reference: bytes) -> None:
    values = {"name": name, "reference": reference}
    encoded = Base64Form(pieces).write(values)  # type: ignore[arg-type]
    whole = b"".join(words.encode() + (values[slot] if slot else b"") for words, slot in pieces)  # type: ignore[attr-defined]
    assert b64decode(encoded.replace(b"\r\n", b""), validate=True) == whole, "no padding but at the end"
    assert all(len(line) <= 76 for line in encoded.split(b"\r\n")), "RFC 2045 section 6.8"
    assert encoded.endswith(b"\r\n")


@given(local=locals_, host=st.sampled_from(["example.com", "x", "a.b-c.example", "exa mple.com", "e>x.com", ""]))
def test_an_envelope_address_cannot_leave_its_place(local: str, host: str) -> None:
    made = envelope_address(f"{local}@{host}")
    if made is not None:
        assert not set(made) & set(b'<>\r\n \t\x00",;()\\')
        assert made.decode() == f"{local}@{host}"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "a",
        "@b",
        "a@",
        "a@b\r\nDATA",
        "a\n@b.c",
        "a@b@c",
        '"a b"@c.example',
        "a@b.c>",
        "x" * 65 + "@b.c",
        "a@[::1]",
        "é@b.c",
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    assert envelope_address(address) is None


@pytest.mark.parametrize("name", ["", " Ann", "Ann\r\nBcc: x", "A\x00", "A\u2028B", "A\u00a0B", "\ud800"])
def test_odd_names_are_written_singly(name: str) -> None:
    assert not is_plain(name)


def test_a_template_that_does_more_than_show_a_name_is_rendered_for_each() -> None:
    def shouts(name: str, reference: str) -> RenderedEmail:
        return RenderedEmail(subject="s", text=f"{name.upper()} {reference}\n", html="<p></p>\n")

    def counts(name: str, reference: str) -> RenderedEmail:
        return RenderedEmail(subject="s", text=f"{len(name)} {reference}\n", html="<p></p>\n")

    def names_in_the_subject(name: str, reference: str) -> RenderedEmail:
        return RenderedEmail(subject=f"For {name}", text=f"{reference}\n", html="<p></p>\n")

    assert email_words(shouts) is None
    assert email_words(counts) is None
    assert email_words(names_in_the_subject) is None


@pytest.mark.parametrize("language", TEMPLATE.languages)
def test_text_messages_are_cut_too(language: str) -> None:
    words = sms_words(lambda reference: TEMPLATE.render_sms(language, VALUES, reference))
    assert words is not None
    assert words.to("0A1B2-C3D4E") == TEMPLATE.render_sms(language, VALUES, "0A1B2-C3D4E")
    assert sms_words(lambda reference: RenderedSms(text=reference.lower(), segments=1)) is None
