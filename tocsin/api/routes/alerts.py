"""Alerts: what detectors say."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response

from incidents.alerts.dialects import DIALECTS
from incidents.alerts.intake import BatchReceipt, Receipt
from incidents.errors import TocsinError
from projections.alerts.alerts import AlertEntry, alerts
from projections.paging import Page
from tocsin.access.roles import Permission
from tocsin.api.authentication import READS
from tocsin.api.commands import Command, IntakeRoute, commands
from tocsin.api.paths import Cursor, Limit
from tocsin.api.problems import ProblemField, problem_fields, shown
from tocsin.api.responses import ALWAYS, READING, problems
from tocsin.api.scopes import Parts
from tocsin.api.values import ResponseModel
from tocsin.services import Services

router = APIRouter(prefix="/v1/alerts", tags=["alerts"], route_class=IntakeRoute)

Posts = Annotated[Command, commands(Permission.POST_ALERTS)]
DialectName = Annotated[
    str,
    Path(max_length=40, description=f"One of: {', '.join(sorted(DIALECTS))}.", examples=["wazuh"]),
]

_POSTING = problems(*ALWAYS, "malformed-request", "not-found", "conflict", "too-large", "request-timeout")
_WAZUH = {
    "timestamp": "2026-11-20T01:12:04.577+0000",
    "id": "1795223524.88213",
    "rule": {"id": "100210", "level": 12, "description": "Large outbound transfer from customer database"},
    "agent": {"id": "014", "name": "crm-db-1"},
    "manager": {"name": "soc-1"},
}


class BatchItem(ResponseModel):
    """What became of one alert of a batch: its receipt, or what is wrong with it."""

    index: int
    receipt: Receipt | None = None
    code: str | None = None
    detail: str | None = None
    errors: tuple[ProblemField, ...] = ()


class BatchAnswer(ResponseModel):
    """What became of each alert, in order."""

    taken: int
    refused: int
    items: tuple[BatchItem, ...]


async def raw_body(request: Request) -> bytes:
    """Dependency: the body as it came."""
    return await request.body()


RawBody = Annotated[bytes, Depends(raw_body)]


def _accepts(*media: str, example: Any) -> dict[str, Any]:
    content = {one: {"schema": {}, "example": example} for one in media}
    return {"requestBody": {"required": True, "content": content}}


@router.post(
    "/{dialect}",
    status_code=202,
    summary="Post an alert",
    responses={**_POSTING, 200: {"model": Receipt, "description": "It was received before."}},
    openapi_extra=_accepts("application/json", example=_WAZUH),
)
def post_alert(command: Posts, dialect: DialectName, raw: RawBody, services: Parts, response: Response) -> Receipt:
    """One alert in the words of its source. The same alert again changes nothing and answers 200.

    It is linked to the open incident it belongs to, or declares one, or is kept as too mild.
    """
    try:
        receipt = services.intake.receive(dialect, raw, command.context(services.clock))
    except TocsinError:
        _count(services, dialect, "refused")
        raise
    _count(services, dialect, receipt.outcome)
    if receipt.outcome == "duplicate":
        response.status_code = 200
    return receipt


@router.post(
    "/{dialect}/batch",
    summary="Post many alerts",
    responses=_POSTING,
    openapi_extra=_accepts("application/x-ndjson", "application/json", example=[_WAZUH]),
)
def post_alerts(command: Posts, dialect: DialectName, raw: RawBody, services: Parts) -> BatchAnswer:
    """A JSON array of alerts, or one alert a line. Each is taken or refused by itself."""
    try:
        receipts = services.intake.receive_many(dialect, raw, command.context(services.clock))
    except TocsinError:
        _count(services, dialect, "refused")
        raise
    for one in receipts:
        _count(services, dialect, one.receipt.outcome if one.receipt else "refused")
    refused = sum(one.receipt is None for one in receipts)
    return BatchAnswer(taken=len(receipts) - refused, refused=refused, items=tuple(_item(one) for one in receipts))


@router.get("", summary="List alerts", dependencies=[READS], responses=READING)
def list_alerts(services: Parts, limit: Limit = 50, cursor: Cursor = None) -> Page[AlertEntry]:
    """All alerts, newest first, with the incident each went to."""
    return alerts(services.engine, limit=limit, cursor=cursor)


def _item(one: BatchReceipt) -> BatchItem:
    return BatchItem(
        index=one.index,
        receipt=one.receipt,
        code=one.code,
        detail=shown(one.detail) if one.detail is not None else None,
        errors=problem_fields(one.errors),
    )


def _count(services: Services, dialect: str, outcome: str) -> None:
    label = dialect if dialect in DIALECTS else "unknown"
    services.metrics.alerts.labels(dialect=label, outcome=outcome).inc()
