"""Where published notices hang: the board that everybody can read, and that of drills, which nobody can."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import structlog
from sqlalchemy import Engine, Row, Select, func, insert, select
from sqlalchemy.exc import IntegrityError

from incidents.record import Model
from incidents.record.database import reading, writing
from notifier.deliveries.tables import sendings
from notifier.public.code import tidy_code
from notifier.public_notice.events import SaidInPublic
from notifier.public_notice.notice import NoticeToPublic
from notifier.public_notice.tables import public_notice_versions

log = structlog.get_logger(__name__)

PUBLIC_NOTICE_PATH = "/p"
MOST_LISTED = 200
"""Public notices on the list and in the feed, the newest first. Older ones stay at their own address."""
_v = public_notice_versions.c


class PublishedVersion(Model):
    """One version as everybody may read it. `correction`: what it corrects, by language."""

    number: int
    published_at: datetime
    words: Mapping[str, SaidInPublic]
    correction: Mapping[str, str]


class PublishedNotice(Model):
    """A public notice with its history, the first version first."""

    notice_id: UUID
    code: str
    versions: tuple[PublishedVersion, ...]

    @property
    def latest(self) -> PublishedVersion:
        """What holds now."""
        return self.versions[-1]


class Board(Protocol):
    """Where versions are made known."""

    def put(self, notice: NoticeToPublic) -> None:
        """Make known whatever is published and not known yet. Again: no effect."""


class DrillBoard:
    """The board of drills: nobody passes by. It has no database, file or address (promise 9)."""

    def put(self, notice: NoticeToPublic) -> None:
        """Say in the log that there would have been something to read."""
        if notice.published:
            log.info("public-notice.rehearsed", notice=str(notice.id), versions=len(notice.published))


class PublicBoard:
    """The board behind the public pages. `public_url`: where the world reaches it."""

    def __init__(self, engine: Engine, *, public_url: str) -> None:
        self._engine = engine
        self._base = f"{public_url.rstrip('/')}{PUBLIC_NOTICE_PATH}"

    @property
    def address(self) -> str:
        """Of the list of public notices."""
        return self._base

    def address_of(self, code: str) -> str:
        """Of one public notice, for as long as there is this service."""
        return f"{self._base}/{code}"

    def put(self, notice: NoticeToPublic) -> None:
        """Make known whatever is published and not known yet. Again: no effect."""
        with reading(self._engine) as connection:
            known = set(connection.execute(select(_v.number).where(_v.notice_id == notice.id)).scalars())
        for event in notice.published:
            if event.number in known:
                continue
            values = {
                "notice_id": notice.id,
                "number": event.number,
                "code": event.code,
                "incident_id": event.incident_id,
                "published_at": event.recorded_at,
                "words": {language: said.model_dump() for language, said in event.words.items()},
                "correction": event.correction,
            }
            try:
                with writing(self._engine) as connection:
                    connection.execute(insert(public_notice_versions).values(values))
            except IntegrityError:
                log.info("public-notice.there-already", notice=str(notice.id))  # another process was faster
            else:
                log.info("public-notice.hung-out", notice=str(notice.id), number=event.number)

    def find(self, typed: str) -> PublishedNotice | None:
        """The notice with this code, however it was typed; None when there is none. A wrong code is asked for too."""
        return self._one(select(public_notice_versions).where(_v.code == (tidy_code(typed) or "")))

    def of(self, notice_id: UUID) -> PublishedNotice | None:
        """A notice by its id; None while nothing of it is published."""
        return self._one(select(public_notice_versions).where(_v.notice_id == notice_id))

    def newest(self, limit: int = MOST_LISTED) -> tuple[PublishedNotice, ...]:
        """Public notices, the one that changed last on top."""
        newest = (
            select(_v.notice_id)
            .group_by(_v.notice_id)
            .order_by(func.max(_v.published_at).desc(), _v.notice_id)
            .limit(min(limit, MOST_LISTED))
        )
        found = self._all(select(public_notice_versions).where(_v.notice_id.in_(newest)))
        return tuple(sorted(found, key=lambda one: one.latest.published_at, reverse=True))

    def beside(self, campaign_id: UUID) -> tuple[PublishedNotice, ...]:
        """Those about the incident that a campaign is about, the oldest first."""
        of_campaign = select(sendings.c.incident_id).where(sendings.c.campaign_id == campaign_id)
        return self._all(select(public_notice_versions).where(_v.incident_id.in_(of_campaign)))

    def _one(self, statement: Select[Any]) -> PublishedNotice | None:
        return next(iter(self._all(statement)), None)

    def _all(self, statement: Select[Any]) -> tuple[PublishedNotice, ...]:
        by_notice: dict[UUID, list[Row[Any]]] = defaultdict(list)
        with reading(self._engine) as connection:
            for row in connection.execute(statement.order_by(_v.published_at, _v.notice_id, _v.number)):
                by_notice[row.notice_id].append(row)
        return tuple(_notice(rows) for rows in by_notice.values())


def _notice(rows: Sequence[Row[Any]]) -> PublishedNotice:
    return PublishedNotice(
        notice_id=rows[0].notice_id,
        code=rows[0].code,
        versions=tuple(
            PublishedVersion(
                number=row.number,
                published_at=row.published_at,
                words={language: SaidInPublic(**said) for language, said in row.words.items()},
                correction=row.correction,
            )
            for row in rows
        ),
    )
