"""What a call says: TwiML made by the SDK, which escapes whatever the words hold."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from twilio.twiml.voice_response import Gather, VoiceResponse

from incidents.record.event import Model
from notifier.templates import RenderedVoice

KEY_CONFIRMS = "1"
LISTENS = 6
"""Seconds that a key is waited for after each reading."""
MAX_TWIML = 4000
"""Twilio's limit for the Twiml parameter of a call."""


class Voice(Model):
    """One entry of `voice.yaml`."""

    language: str
    voice: str
    confirm: str
    again: str
    thanks: str
    goodbye: str


@cache
def voices() -> dict[str, Voice]:
    """The voices that come with the code, by language of the notice."""
    text = (Path(__file__).parent / "voice.yaml").read_text(encoding="utf-8")
    return {language: Voice.model_validate(entry) for language, entry in yaml.safe_load(text).items()}


def twiml_of(content: RenderedVoice, keypress_url: str | None) -> str:
    """The notice, read twice; after each reading a key confirms it, where there is an address to tell that to. One
    reading where two would be more than Twilio takes. KeyError for a language without a voice, ValueError where even
    one reading is too long."""
    for readings in (2, 1):
        text = _twiml(content, keypress_url, readings)
        if len(text) <= MAX_TWIML:
            return text
    raise ValueError("the notice is too long to be read out")


def thanks_in(language: str) -> str:
    """What is said once the key was pressed; in English where there is no such voice."""
    known = voices()
    voice = known.get(language, known["en"])
    response: Any = VoiceResponse()  # type: ignore[no-untyped-call]
    response.say(voice.thanks, voice=voice.voice, language=voice.language)
    response.hangup()
    return str(response)


def _twiml(content: RenderedVoice, keypress_url: str | None, readings: int) -> str:
    voice = voices()[content.language]
    response: Any = VoiceResponse()  # type: ignore[no-untyped-call]
    spoken = {"voice": voice.voice, "language": voice.language}
    for reading in range(readings):
        words = f"{voice.again} {content.text}" if reading else content.text
        if keypress_url is None:
            response.say(words, **spoken)
            continue
        gather: Any = Gather(num_digits=1, action=keypress_url, method="POST", timeout=LISTENS)  # type: ignore[no-untyped-call]
        gather.say(f"{words} {voice.confirm}", **spoken)
        response.append(gather)
    response.say(voice.goodbye, **spoken)
    return str(response)
