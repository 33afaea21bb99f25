"""Runs of playbooks: start one, look at it, complete or skip its steps."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Response
from pydantic import Field

from incidents.reference import reference_of
from playbooks.runs.run import Run
from tocsin.access.roles import Permission
from tocsin.api.authentication import READS
from tocsin.api.commands import Command, CommandRoute, commands
from tocsin.api.paths import IncidentId, RunId
from tocsin.api.responses import CHANGING, READING, READING_ONE
from tocsin.api.scopes import Parts
from tocsin.api.values import LongText, Reason, RequestModel, ResponseModel, Word

router = APIRouter(prefix="/v1", tags=["runs"], route_class=CommandRoute)

Handles = Annotated[Command, commands(Permission.HANDLE_INCIDENTS)]
StepName = Annotated[str, Path(min_length=1, max_length=300, examples=["contain"])]


class StartRun(RequestModel):
    """Which playbook."""

    playbook: Word = Field(examples=["personal-data-breach"])


class CompleteStep(RequestModel):
    """A task is done."""

    outcome: Literal["done"] = "done"
    comment: LongText = ""


class SkipStep(RequestModel):
    """A task or a notice is not needed."""

    reason: Reason


class StepShown(ResponseModel):
    """One step. `kind` is that of the playbook; `outcome` is set when it is complete."""

    step: str
    kind: str
    open: bool
    outcome: str | None
    started_at: datetime | None
    rounds: int
    details: dict[str, Any]


class RunShown(ResponseModel):
    """A run as the record has it."""

    id: UUID
    version: int
    incident_id: UUID | None
    reference: str | None
    playbook: str
    title: dict[str, str]
    drill: bool
    finished: str | None
    steps: tuple[StepShown, ...]

    @classmethod
    def of(cls, run: Run) -> RunShown:
        """From the aggregate."""
        return cls(
            id=run.id,
            version=run.version,
            incident_id=run.incident_id,
            reference=reference_of(run.incident_id) if run.incident_id else None,
            playbook=run.playbook.id if run.playbook else "",
            title=run.playbook.title if run.playbook else {},
            drill=run.drill,
            finished=run.finished,
            steps=tuple(
                StepShown(
                    step=name,
                    kind=state.kind,
                    open=state.open,
                    outcome=state.outcome,
                    started_at=state.started_at,
                    rounds=state.rounds,
                    details=state.details,
                )
                for name, state in run.steps.items()
            ),
        )


class PlaybookShown(ResponseModel):
    """A playbook that can be run."""

    id: str
    version: int
    title: dict[str, str]
    description: dict[str, str]
    digest: str


@router.get("/playbooks", summary="Playbooks", dependencies=[READS], responses=READING)
def list_playbooks(services: Parts) -> tuple[PlaybookShown, ...]:
    """The playbooks of this installation."""
    return tuple(
        PlaybookShown(
            id=playbook.id,
            version=playbook.version,
            title=playbook.title,
            description=playbook.description,
            digest=playbook.digest,
        )
        for _, playbook in sorted(services.playbooks.items())
    )


@router.post("/incidents/{incident}/runs", status_code=201, summary="Start a playbook", responses=CHANGING)
def start(command: Handles, incident: IncidentId, body: StartRun, services: Parts, response: Response) -> RunShown:
    """A playbook runs once per incident: a second start answers with the run that is there."""
    run = services.runs.start(incident, body.playbook, command.context(services.clock))
    response.headers["Location"] = f"/v1/runs/{run.id}"
    return RunShown.of(run)


@router.get("/runs/{run}", summary="Read a run", dependencies=[READS], responses=READING_ONE)
def read(run: RunId, services: Parts) -> RunShown:
    """The run with every step opened so far."""
    return RunShown.of(services.record.load(Run, run))


@router.post("/runs/{run}/steps/{step}/complete", summary="Complete a task", responses=CHANGING)
def complete(command: Handles, run: RunId, step: StepName, body: CompleteStep, services: Parts) -> RunShown:
    """A person says that a task is done. Other steps complete by themselves."""
    context = command.context(services.clock)
    return RunShown.of(services.runs.complete(run, step, context, outcome=body.outcome, comment=body.comment))


@router.post("/runs/{run}/steps/{step}/skip", summary="Skip a step", responses=CHANGING)
def skip(command: Handles, run: RunId, step: StepName, body: SkipStep, services: Parts) -> RunShown:
    """A person decides that a task or a notice is not needed, with a reason on record."""
    return RunShown.of(services.runs.skip(run, step, command.context(services.clock), reason=body.reason))
