"""How a page says what came of a form: why it was refused, or a file to be saved."""

from __future__ import annotations

from incidents.errors import InvalidInput, TocsinError


def said_of(error: TocsinError) -> str:
    """Why, with every field that is at fault."""
    faults = (f"{fault.field}: {fault.reason}" for fault in error.errors if fault.reason != error.detail)
    return "; ".join([error.detail, *faults])


def status_of(error: TocsinError) -> int:
    """Of the page that says so."""
    return 422 if isinstance(error, InvalidInput) else 409


def attached(name: str) -> dict[str, str]:
    """Headers of a file that a browser saves, and keeps no copy of."""
    return {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "private, no-store"}
