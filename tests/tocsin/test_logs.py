"""What is written to the log holds no contact data, wherever the text came from."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
import structlog
from sqlalchemy import column, insert, table
from sqlalchemy.exc import SQLAlchemyError

from incidents.record.database import open_engine, writing
from incidents.reference import reference_of
from incidents.tracing import incident_span
from tocsin.observability.logs import set_up_logs

PHONE, EMAIL = "+86 138 0013 8000", "anna.weber@example.org"

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def written() -> Iterator[Lines]:
    """The lines written since the logs were set up."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    set_up_logs("info", stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


def test_messages_of_libraries_are_masked(written: Lines) -> None:
    logging.getLogger("library").warning("could not deliver to %s", EMAIL)

    (line,) = written()
    assert line["event"] == "could not deliver to [email]"
    assert line["level"] == "warning"


def test_exceptions_of_libraries_and_of_ours_are_masked(written: Lines) -> None:
    for log in (logging.getLogger("library"), structlog.get_logger("ours")):
        try:
            raise ValueError(f"no such number: {PHONE}")
        except ValueError:
            log.exception("call.failed")

    lines = written()
    assert len(lines) == 2
    assert all("no such number: [phone]" in line["exception"] for line in lines)
    assert PHONE not in json.dumps(lines)


def test_values_are_masked_however_deep_they_are(written: Lines) -> None:
    structlog.get_logger("ours").info(
        "provider.answered",
        rows=[{"to": PHONE, EMAIL: 1}],
        error=OSError(f"relay refused {EMAIL}"),
        pair=(EMAIL, 8613800138000),
        count=3,
        well=True,
        nothing=None,
    )

    (line,) = written()
    assert line["rows"] == [{"to": "[phone]", "[email]": 1}]
    assert line["error"] == "OSError('relay refused [email]')"
    assert line["pair"][0] == "[email]"
    assert "138000" not in json.dumps(line)
    assert (line["event"], line["count"], line["well"], line["nothing"]) == ("provider.answered", 3, True, None)


def test_a_failing_statement_does_not_repeat_its_parameters(written: Lines, database_url: str) -> None:
    engine, row = open_engine(database_url), {"who": " ".join(("Anna", "Weber"))}
    try:
        with writing(engine) as connection:
            connection.execute(insert(table("nowhere", column("who"))).values(row))
    except SQLAlchemyError:
        structlog.get_logger("ours").exception("worker.failed")
    finally:
        engine.dispose()

    (line,) = written()
    assert "nowhere" in line["exception"]
    assert "Anna" not in line["exception"]


def test_rows_that_a_database_repeats_are_hidden(written: Lines) -> None:
    structlog.get_logger("ours").error(
        "worker.failed", reason="null value in column\nDETAIL:  Failing row contains (1, Anna Weber).\nCONTEXT: x"
    )

    (line,) = written()
    assert line["reason"] == "null value in column\nDETAIL: [hidden]\nCONTEXT: x"


def test_a_line_names_its_trace_and_the_incident_it_is_about(written: Lines) -> None:
    incident_id = uuid4()
    with incident_span("automation", incident_id):
        structlog.get_logger("ours").info("within")
        logging.getLogger("library").warning("within, too")
    structlog.get_logger("ours").info("outside")

    within, library, outside = written()
    assert within["trace_id"] == incident_id.hex
    assert within["incident"] == reference_of(incident_id)
    assert library["trace_id"] == incident_id.hex
    assert "trace_id" not in outside
    assert "incident" not in outside
