"""Notices that anybody can check: a campaign's code and address, and what the page behind it shows.

A campaign gets its page when its first message is about to be made, from the same approved words. Drafts, campaigns
that wait for approval and drills get none.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Engine, Row, insert, select
from sqlalchemy.exc import IntegrityError

from incidents.clock import Clock
from incidents.record import Model
from incidents.record.database import reading, writing
from notifier.campaigns.campaign import Campaign
from notifier.public.code import notice_code, tidy_code
from notifier.public.tables import public_notices
from notifier.templates import CheckAt, Template

log = structlog.get_logger(__name__)

PUBLIC_PATH = "/n"
_t = public_notices.c


class PublicWords(Model):
    """A notice in one language, as anybody may read it."""

    subject: str
    text: str


class PublicNotice(Model):
    """What the page of a genuine notice shows."""

    campaign_id: UUID
    code: str
    first_sent_at: datetime
    words: Mapping[str, PublicWords]


class PublicNotices:
    """Codes, addresses and pages. `key` is a key of this installation, `public_url` where the world reaches it."""

    def __init__(self, engine: Engine, clock: Clock, *, key: bytes, public_url: str) -> None:
        self._engine = engine
        self._clock = clock
        self._key = key
        self._base = f"{public_url.rstrip('/')}{PUBLIC_PATH}"

    @property
    def address(self) -> str:
        """Where a code can be typed."""
        return self._base

    def check_of(self, campaign_id: UUID) -> CheckAt:
        """The campaign's code and address. Fixed once its notices began to go out, whatever becomes of the key."""
        row = self._row(campaign_id)
        return self._check_at(notice_code(self._key, campaign_id) if row is None else row.code)

    def page_of(self, campaign_id: UUID) -> PublicNotice | None:
        """What the campaign's page shows; None while there is none."""
        row = self._row(campaign_id)
        return None if row is None else _notice(row)

    def publish(self, campaign: Campaign, template: Template) -> CheckAt:
        """Make the page of a campaign that is about to go out, and give its code and address. Again: no effect. A
        drill has a code, so that its notices look as real ones would, and no page."""
        if campaign.drill:
            return self._check_at(notice_code(self._key, campaign.id))
        row = self._row(campaign.id)
        if row is None:
            check = self._check_at(notice_code(self._key, campaign.id))
            self._insert(campaign.id, check.code, _words(template, campaign.values, check))
            row = self._row(campaign.id)
            log.info("public-notice.published", campaign=str(campaign.id))
        return self._check_at(row.code) if row is not None else check

    def find(self, typed: str) -> PublicNotice | None:
        """The genuine notice with this code, however it was typed; None when we sent none such.

        The table is asked in every case, so that a wrong code takes as long as an unknown one.
        """
        code = tidy_code(typed)
        with reading(self._engine) as connection:
            row = connection.execute(select(public_notices).where(_t.code == (code or ""))).first()
        return None if row is None else _notice(row)

    def _row(self, campaign_id: UUID) -> Row[Any] | None:
        with reading(self._engine) as connection:
            return connection.execute(select(public_notices).where(_t.campaign_id == campaign_id)).first()

    def _insert(self, campaign_id: UUID, code: str, words: Mapping[str, PublicWords]) -> None:
        values = {
            "campaign_id": campaign_id,
            "code": code,
            "first_sent_at": self._clock.now(),
            "words": {language: said.model_dump() for language, said in words.items()},
        }
        try:
            with writing(self._engine) as connection:
                connection.execute(insert(public_notices).values(values))
        except IntegrityError:
            log.info("public-notice.there-already", campaign=str(campaign_id))  # another worker was faster

    def _check_at(self, code: str) -> CheckAt:
        return CheckAt(code=code, address=f"{self._base}/{code}")


def _notice(row: Row[Any]) -> PublicNotice:
    return PublicNotice(
        campaign_id=row.campaign_id,
        code=row.code,
        first_sent_at=row.first_sent_at,
        words={language: PublicWords(**said) for language, said in row.words.items()},
    )


def _words(template: Template, values: Mapping[str, Any], check: CheckAt) -> dict[str, PublicWords]:
    """The notice in every language that has what it cannot do without, personal values left out."""
    found = {}
    for language in template.written_in(values):
        email = template.render_public(language, values, check)
        found[language] = PublicWords(subject=email.subject, text=email.text)
    return found
