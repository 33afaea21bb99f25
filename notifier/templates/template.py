"""One template set: what is missing from its values, its digest, and the notice one person gets."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from jinja2 import TemplateError
from jinja2.sandbox import SandboxedEnvironment

from incidents.errors import InvalidInput
from incidents.record.event import Model
from notifier.templates.digests import Digests
from notifier.templates.manifest import Manifest
from notifier.templates.segments import plainer, segments
from notifier.templates.values import check_values, plain_values, value_in

MAX_SMS_CHARACTERS = 1600
"""Twilio's limit for the Body of one message."""

MAX_VOICE_CHARACTERS = 3000
"""About four minutes of speech. Twilio takes 4096 in one `<Say>`."""
PUBLIC_FILE, VOICE_FILE = "public.txt.j2", "voice.txt.j2"

_CHINESE = ("zh-Hans", "zh-Hant")
_FULL_STOP = dict.fromkeys(_CHINESE, "。")
_COMMA = dict.fromkeys(_CHINESE, "、")
_SEMICOLON = dict.fromkeys(_CHINESE, "；")


class RenderedSms(Model):
    """A text message and how many segments it takes."""

    text: str
    segments: int


class RenderedEmail(Model):
    """An email in both forms; the subject is one line."""

    subject: str
    text: str
    html: str


class RenderedVoice(Model):
    """What is said on the telephone, and the language it is said in."""

    text: str
    language: str


class RenderedPublic(Model):
    """A notice to the public."""

    subject: str
    text: str


Rendered = RenderedSms | RenderedEmail | RenderedVoice


class CheckAt(Model):
    """Where anybody can check that a notice is genuine: the code it carries, and the page behind it."""

    code: str
    address: str


@dataclass(frozen=True, slots=True)
class Template:
    """A manifest and the words beside it."""

    manifest: Manifest
    environment: SandboxedEnvironment
    digests: Digests
    extra: frozenset[str] = frozenset()
    """Files that a set may do without, such as `en/voice.txt.j2`, and that are there."""

    @property
    def name(self) -> str:
        return self.manifest.template

    @property
    def version(self) -> str:
        return self.manifest.version

    @property
    def languages(self) -> tuple[str, ...]:
        return self.manifest.languages

    def check_values(self, values: Mapping[str, Any]) -> None:
        """InvalidInput naming each value that is unknown or malformed."""
        check_values(self.manifest, values)

    def missing_essentials(self, values: Mapping[str, Any], languages: Sequence[str]) -> tuple[str, ...]:
        """`value.language` for every value without which the notice makes no sense."""
        return tuple(
            f"{name}.{language}"
            for name, rule in self.manifest.values.items()
            if rule.essential
            for language in languages
            if value_in(self.manifest, values, name, language) is None
        )

    def written_in(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        """The languages that have what the notice cannot do without in words of their own, none borrowed."""
        essential = [name for name, rule in self.manifest.values.items() if rule.essential]
        return tuple(
            language
            for language in self.languages
            if all(value_in(self.manifest, values, name, language, own=True) is not None for name in essential)
        )

    def render_sms(
        self, language: str, values: Mapping[str, Any], reference: str, check: CheckAt | None = None
    ) -> RenderedSms:
        """The text message in one language. InvalidInput when it is too long to be sent."""
        filled = self._fill(language, "sms.txt.j2", values, reference=reference, check=check)
        text = plainer(" ".join(filled.split()))
        if len(text) > MAX_SMS_CHARACTERS:
            raise InvalidInput(
                f"The text message in {language} has {len(text)} characters; {MAX_SMS_CHARACTERS} is the most "
                "that can be sent. Shorten the values.",
                field=f"values.{language}",
            )
        return RenderedSms(text=text, segments=segments(text))

    def render_email(
        self, language: str, values: Mapping[str, Any], name: str, reference: str, check: CheckAt | None = None
    ) -> RenderedEmail:
        """The email in one language, to one person."""
        return self._email(language, values, name, reference, check)

    def render_public(self, language: str, values: Mapping[str, Any], check: CheckAt) -> RenderedEmail:
        """The same words as the email's, for everybody to read: no name, no reference."""
        return self._email(language, values, None, None, check)

    def render_to_public(self, language: str, values: Mapping[str, Any], check: CheckAt) -> RenderedPublic:
        """The notice to the public: words of its own if the set has them, else those of the email. The first line of
        `public.txt.j2` is the title."""
        if f"{language}/{PUBLIC_FILE}" not in self.extra:
            email = self.render_public(language, values, check)
            return RenderedPublic(subject=email.subject, text=email.text)
        filled = self._fill(language, PUBLIC_FILE, values, reference=None, check=check).strip()
        title, _, text = filled.partition("\n")
        return RenderedPublic(subject=title.strip(), text=re.sub(r"\n{3,}", "\n\n", text).strip() + "\n")

    def render_voice(self, language: str, values: Mapping[str, Any], check: CheckAt | None = None) -> RenderedVoice:
        """What is said on the telephone: the same for everybody, for nobody knows who picks up. The words of the text
        message without its link where the set has none for the voice. InvalidInput when it is too long."""
        if f"{language}/{VOICE_FILE}" in self.extra:
            filled = self._fill(language, VOICE_FILE, values, reference=None, check=check)
        else:
            filled = self._fill(language, "sms.txt.j2", values, reference=None, check=None)
        text = " ".join(filled.split())
        if len(text) > MAX_VOICE_CHARACTERS:
            raise InvalidInput(
                f"The call in {language} has {len(text)} characters; {MAX_VOICE_CHARACTERS} is the most that can be "
                "said. Shorten the values.",
                field=f"values.{language}",
            )
        return RenderedVoice(text=text, language=language)

    def _email(
        self, language: str, values: Mapping[str, Any], name: str | None, reference: str | None, check: CheckAt | None
    ) -> RenderedEmail:
        fill = partial(self._fill, language, values=values, reference=reference, name=name or "", check=check)
        subject = " ".join(self._fill(language, "subject.txt.j2", values, reference=reference, check=check).split())
        text = re.sub(r"\n{3,}", "\n\n", fill(file="email.txt.j2")).strip() + "\n"
        return RenderedEmail(subject=subject, text=text, html=fill(file="email.html.j2").strip() + "\n")

    def _fill(
        self,
        language: str,
        file: str,
        values: Mapping[str, Any],
        *,
        reference: str | None,
        name: str | None = None,
        check: CheckAt | None = None,
    ) -> str:
        if language not in self.languages:
            raise InvalidInput(f"The template has no words in {language}.", field="language")
        words = {**plain_values(self.manifest, values, language), "language": language, "reference": reference}
        words |= {"notice_code": check.code if check else None, "notice_url": check.address if check else None}
        if name is not None:
            words["name"] = name
        try:
            return self.environment.get_template(f"{self.name}/{language}/{file}").render(words)
        except TemplateError as error:
            raise InvalidInput(
                f"The template {self.name}/{language}/{file} cannot be filled: {type(error).__name__}.",
                field="template",
            ) from error


def missing_items(
    template: Template,
    values: Mapping[str, Any],
    required_items: Sequence[str],
    languages: Sequence[str] | None = None,
) -> tuple[str, ...]:
    """The required content items that the notice would lack in any of the languages (default: all it has).

    An item that the template has no place for is missing too: the law's demand is what counts.
    """
    manifest, missing = template.manifest, []

    def has(name: str, language: str) -> bool:
        return value_in(manifest, values, name, language) is not None

    for required in required_items:
        item = manifest.item(required)
        held = item is not None and all(
            all(has(name, language) for name in item.all)
            and (not item.any or any(has(name, language) for name in item.any))
            for language in (languages or manifest.languages)
        )
        if not held:
            missing.append(required)
    return tuple(missing)


def render(
    template: Template,
    language: str,
    channel: str,
    values: Mapping[str, Any],
    person_name: str,
    reference_code: str,
    check: CheckAt | None = None,
) -> Rendered:
    """The notice for one person by one channel (`sms`, `email`, `voice`, `im`). Only the email greets by name: a text
    message may be read, and a call be taken, by whoever holds the phone now."""
    if channel == "sms":
        return template.render_sms(language, values, reference_code, check)
    if channel == "email":
        return template.render_email(language, values, person_name, reference_code, check)
    if channel == "im":
        return template.render_sms(language, values, reference_code, check)
    if channel == "voice":
        return template.render_voice(language, values, check)
    raise InvalidInput(f"There is no channel {channel[:32]!r}; there are sms, email, voice and im.", field="channel")


def text_digest(template: Template, values: Mapping[str, Any], languages: Sequence[str]) -> str:
    """SHA-256 over everything that decides the words in these languages. Same words, same digest: a language that the
    template gets besides changes nothing for a notice that is not written in it."""
    words = {language: template.digests.words.get(language, "") for language in set(languages)}
    return f"{_FORM}:{_sha256(template, values, words=words)}"


def is_text(template: Template, values: Mapping[str, Any], languages: Sequence[str], digest: str) -> bool:
    """Whether a digest stands for these words as they are now. Digests given by versions that took one over all files
    of a set hold as long as what those files said in these languages is unchanged."""
    if digest == text_digest(template, values, languages):
        return True
    now = template.digests.first
    return any(
        digest == f"sha256:{_sha256(template, values, files=files, languages=sorted(set(languages)))}"
        for files, words in template.digests.earlier.items()
        if all(language in words and words[language] == now.get(language) for language in languages)
    )


_FORM = "words-sha256"


def _sha256(template: Template, values: Mapping[str, Any], **words: Any) -> str:
    canonical = json.dumps(
        {"template": template.name, "version": template.version, "values": values, **words},
        ensure_ascii=False,
        sort_keys=True,
        separators=(",", ":"),
    )
    return hashlib.sha256(canonical.encode()).hexdigest()


def sentence(language: str, text: str) -> str:
    """The text with a full stop of its language at the end, unless it has one."""
    trimmed = text.rstrip()
    return (
        trimmed if trimmed.endswith((".", "。", "!", "！", "?", "？", "…")) else trimmed + _FULL_STOP.get(language, ".")
    )


def listed(language: str, entries: Sequence[str]) -> str:
    """Entries in a row: with commas, or the Chinese enumeration comma."""
    return (_COMMA.get(language) or ", ").join(entries)


def spelt(text: str) -> str:
    """Digits and letters one by one, so that a voice reads out a code or a number slowly."""
    return " ".join(sign for sign in text.replace("-", ",") if not sign.isspace())


def clauses(language: str, entries: Sequence[str]) -> str:
    """Entries as clauses of one sentence, without their own full stops."""
    return (_SEMICOLON.get(language) or "; ").join(entry.rstrip(" .。") for entry in entries)
