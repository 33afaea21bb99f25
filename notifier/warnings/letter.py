"""The words of a staff warning: which duty, under which article, due when, and where to look."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import escape

from incidents.record import Instant, Model
from notifier.templates import RenderedEmail

StaffLanguage = Literal["en", "zh-Hans"]


class StaffWarning(Model):
    """What is to be said to our own people. Nothing in it concerns an affected person."""

    incident_id: UUID
    reference: str
    """The incident's, such as INC-7F3K-9Q2M. Its title is not told: people wrote it."""
    duty_id: str
    instrument: str
    article: str
    recipient: str
    """Whom the law wants told."""
    stage: str
    step: int
    """50, 80, 95: percent of the window; 100: nobody has acted by our own reminder; more: missed."""
    called_out_at: Instant
    round: int
    """How often this step was told before, counted by the clock: 0 is the first mail."""
    due: Instant | None
    time_zone: str
    ends_with_day: bool = False
    owner: str = ""
    """Who owns the duty, by name; empty: nobody in particular."""
    escalated: bool = False
    """The owner has not acknowledged it, so others get it too."""
    waits: bool = False
    """The duty waits at somebody's request, and that ends or has to be asked about again."""
    link: str

    @property
    def what(self) -> Literal["pressing", "reminder", "missed", "waiting"]:
        """Which words it needs."""
        if self.waits:
            return "waiting"
        if self.step > 100:
            return "missed"
        return "reminder" if self.step == 100 else "pressing"


def write(warning: StaffWarning, language: StaffLanguage, now: datetime) -> RenderedEmail:
    """The mail. The first line of a template is the subject."""
    shown = _template(language).render(
        w=warning, due=_due(warning), left=_left(warning.due, now), zone=warning.time_zone
    )
    subject, _, text = shown.strip().partition("\n")
    text = text.strip() + "\n"
    html = f'<p style="white-space: pre-line">{escape(text)}</p>\n'
    return RenderedEmail(subject=" ".join(subject.split()), text=text, html=html)


@cache
def _template(language: StaffLanguage) -> Template:
    # Plain text: the HTML form is the escaped text as a whole.
    environment = Environment(
        loader=PackageLoader("notifier", "warnings"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701
    )
    return environment.get_template(f"warning.{language}.j2")


def _due(warning: StaffWarning) -> str:
    if warning.due is None:
        return ""
    local = warning.due.astimezone(ZoneInfo(warning.time_zone))
    if warning.ends_with_day:
        return f"{(local - timedelta(days=1)):%Y-%m-%d} 24:00 {local:%z}"
    return f"{local:%Y-%m-%d %H:%M %z}"


def _left(due: datetime | None, now: datetime) -> str:
    if due is None:
        return ""
    minutes = abs(int((due - now).total_seconds())) // 60
    return f"{minutes // 60}:{minutes % 60:02d}"
