"""The page of one campaign: how far it is, tests of its notice for colleagues, letters by post, what became of all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import quote
from uuid import UUID, uuid4

from fastapi import APIRouter, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response, StreamingResponse

from incidents.errors import Forbidden, IllegalTransition, InvalidInput, NotAuthenticated, NotFound, TocsinError
from incidents.incident.incident import Incident
from incidents.record import Context
from incidents.reference import reference_of
from notifier.campaigns.campaign import BEGUN, CampaignStatus
from notifier.campaigns.forecast import Forecast
from notifier.campaigns.service import CampaignView, Preview
from notifier.campaigns.trial import TrialMail
from notifier.deliveries.progress import Progress, progress_of
from notifier.history.events import CampaignTested
from notifier.letters.desk import LetterBatchView
from notifier.templates import CheckAt
from projections.coverage.coverage import CampaignCoverage, campaign_coverage
from projections.deadlines.deadlines import Deadline
from tocsin.access.roles import Permission
from tocsin.api.paths import incident_named
from tocsin.api.routes.campaigns import shown
from tocsin.api.routes.history import MEDIA
from tocsin.api.routes.trials import mail_trial
from tocsin.api.scopes import door_of
from tocsin.console.duties_named import duties_behind
from tocsin.console.duty_forms import Line, Once, back_to, command_of
from tocsin.console.form_answers import attached, said_of, status_of
from tocsin.console.pages import Pages
from tocsin.console.viewers import Viewer, viewer_of
from tocsin.services import Services

BASE = "/incidents/{name}/campaigns/{campaign}"
BATCHES = 20
"""Batches of letters on one page."""
_UNDECIDED = frozenset({CampaignStatus.DRAFT, CampaignStatus.AWAITING_APPROVAL, CampaignStatus.REJECTED})
_SHOWN = ("prepare-notices", "approve", "read-history")


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a test: each mail, or, where the form was sent twice, what is on record of the first time."""

    mails: tuple[TrialMail, ...] = ()
    known: CampaignTested | None = None


@dataclass(frozen=True, slots=True)
class CampaignPage:
    """Everything on the page."""

    reference: str
    title: str
    view: CampaignView
    words: tuple[Preview, ...]
    """The notice in each language, to an invented person; none while it cannot be written."""
    lacking: str | None
    """Why it cannot be written yet."""
    counsel: tuple[str, ...]
    """Duties behind it whose rule is of low confidence."""
    duties: tuple[Deadline, ...]
    """That name them, and what the notice lacks; none where nothing waits for a name."""
    coverage: CampaignCoverage | None
    """None while the read model has not seen it yet."""
    check: CheckAt | None
    forecast: Forecast | None
    progress: Progress | None
    colleagues: Mapping[str, str]
    """Who may get a test: id to name."""
    testable: bool
    batches: tuple[LetterBatchView, ...]
    after: UUID | None
    """The batch behind which these are; None: from the first."""
    more: UUID | None
    """The batch behind which there are more."""
    waiting: int
    """People who could be written to by post and are in no batch."""
    may: frozenset[str]
    tried: Tried | None
    refused: str | None
    once: UUID
    """Makes the commands of this page's forms have one effect each."""


def gather(
    services: Services,
    incident_id: UUID,
    campaign_id: UUID,
    viewer: Viewer,
    *,
    after: UUID | None = None,
    tried: Tried | None = None,
    refused: str | None = None,
) -> CampaignPage:
    """The page's content, with the letters behind the batch `after`. NotFound where there is no such campaign."""
    view = campaign_of(services, incident_id, campaign_id)
    who, going = viewer.principal, progress_of(services.engine, campaign_id, services.clock.now(), view.recipients)
    begun = going is not None
    words, lacking = _words(services, view)
    may = frozenset(name for name in _SHOWN if who is not None and who.may(Permission(name)))
    letters = services.notifier.letters
    public = services.notifier.public
    counsel = shown(services, view, None).counsel if view.status in _UNDECIDED else ()
    batches = letters.of_campaign(campaign_id, limit=BATCHES + 1, after=after) if begun else ()
    return CampaignPage(
        reference=reference_of(incident_id),
        title=services.record.load(Incident, incident_id).title,
        view=view,
        words=words,
        lacking=lacking,
        counsel=counsel,
        duties=duties_behind(services, incident_id, counsel, view.missing_items),
        coverage=_coverage(services, campaign_id),
        check=public.check_of(campaign_id) if public is not None and not view.drill else None,
        forecast=_forecast(services, view),
        progress=going,
        colleagues={name: owner.name for name, owner in sorted(services.settings.warnings.owners.items())},
        testable=view.status not in BEGUN and not view.drill and view.audience_id is not None,
        batches=batches[:BATCHES],
        after=after,
        more=batches[BATCHES - 1].batch_id if len(batches) > BATCHES else None,
        waiting=letters.waiting(campaign_id) if begun and may else 0,
        may=may,
        tried=tried,
        refused=refused,
        once=uuid4(),
    )


def campaign_of(services: Services, incident_id: UUID, campaign_id: UUID) -> CampaignView:
    """A campaign of this incident. NotFound otherwise."""
    view = services.campaigns.view(campaign_id)
    if view.incident_id != incident_id:
        raise NotFound("That incident has no such campaign.", field="campaign")
    return view


def _words(services: Services, view: CampaignView) -> tuple[tuple[Preview, ...], str | None]:
    try:
        found = [services.campaigns.preview(view.campaign_id, name) for name in view.languages or ("en",)]
    except InvalidInput as error:
        return (), error.detail
    return tuple(found), None


def _coverage(services: Services, campaign_id: UUID) -> CampaignCoverage | None:
    try:
        return campaign_coverage(services.engine, campaign_id)
    except NotFound:
        return None


def _forecast(services: Services, view: CampaignView) -> Forecast | None:
    if view.status in _UNDECIDED:
        # A draft without an audience, or with values still missing, has none yet.
        with suppress(IllegalTransition, InvalidInput):
            return services.campaigns.forecast(view.campaign_id, services.clock.now())
    return None


class CampaignConsole:
    """The handlers of the page."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def show(self, request: Request, name: str, campaign: UUID, after: UUID | None = None) -> Response:
        """The page, with the letters behind the batch `after`."""
        viewer = viewer_of(request)
        if viewer is None:
            return RedirectResponse(f"/login?next={quote(request.url.path, safe='')}", 303)
        return self.page(request, name, campaign, viewer, after=after)

    async def test(
        self,
        request: Request,
        name: str,
        campaign: UUID,
        once: Once,
        to: Annotated[list[Line], Form(max_length=100)] = [],  # noqa: B006 - FastAPI copies it
        languages: Annotated[list[Line], Form(max_length=100)] = [],  # noqa: B006
    ) -> Response:
        """Mail the notice as it stands to colleagues. A form sent twice mails once."""
        services, context = await run_in_threadpool(
            command_of, request, Permission.PREPARE_NOTICES, once, "test", str(campaign)
        )
        await run_in_threadpool(campaign_of, services, incident_named(services, name), campaign)
        known = await run_in_threadpool(services.trials.done, context)
        tried, error = Tried(known=known), None
        if known is None:
            try:
                tried = Tried(await mail_trial(services, context, campaign, to, languages))
            except TocsinError as refusal:
                error = refusal
        return await run_in_threadpool(self.again, request, name, campaign, error, tried=tried)

    def history_file(
        self,
        request: Request,
        name: str,
        campaign: UUID,
        once: Once,
        reason: Annotated[str, Form(max_length=1_000)] = "",
        form: Annotated[Literal["ndjson", "csv"], Form()] = "ndjson",
    ) -> Response:
        """What became of everybody, as a file. That it was asked for is on record before its first line."""

        def export(services: Services, context: Context) -> Response:
            pieces = services.history.export(context, campaign, form, reason)
            return StreamingResponse(pieces, media_type=MEDIA[form], headers=attached(f"campaign-{campaign}.{form}"))

        return self.carry_out(request, name, campaign, (Permission.READ_HISTORY, once, "history-file"), export)

    def carry_out(
        self,
        request: Request,
        name: str,
        campaign: UUID,
        command: tuple[Permission, UUID, str],
        act: Callable[[Services, Context], object],
        *,
        about: UUID | None = None,
        part: str = "",
    ) -> Response:
        """What a form of this page asks for: the answer that `act` gives, or back to a `part` of the page. `command`
        names the permission that it needs, the form's `once` and what it does, `about` what it does it to, if not to
        the campaign. Whatever is refused is said on the page."""
        services, context = command_of(request, *command, str(about or campaign))
        campaign_of(services, incident_named(services, name), campaign)
        try:
            answer = act(services, context)
        except TocsinError as error:
            return self.again(request, name, campaign, error)
        return answer if isinstance(answer, Response) else back_to(request, name, f"/campaigns/{campaign}{part}")

    def page(
        self, request: Request, name: str, campaign: UUID, viewer: Viewer, *, status: int = 200, **came: Any
    ) -> Response:
        """The page with what came of a form, where one was sent."""
        services = door_of(request.scope).services
        page = gather(services, incident_named(services, name), campaign, viewer, **came)
        return self._pages.render(request, "campaign.html", viewer=viewer, status=status, page=page)

    def again(
        self, request: Request, name: str, campaign: UUID, error: TocsinError | None = None, **came: Any
    ) -> Response:
        """The page after a form, with the reason where it was refused. What is forbidden, or not there, has a page of
        its own."""
        viewer = viewer_of(request)
        if viewer is None:
            raise NotAuthenticated("Log in first: a decision carries a name.")
        if isinstance(error, Forbidden | NotFound | NotAuthenticated):
            raise error
        if error is None:
            return self.page(request, name, campaign, viewer, **came)
        return self.page(request, name, campaign, viewer, status=status_of(error), refused=said_of(error))


def add_campaign_pages(router: APIRouter, pages: Pages, dependencies: Sequence[Any]) -> CampaignConsole:
    """Add the page's routes. `dependencies` refuse what another site sent."""
    console = CampaignConsole(pages)
    router.add_api_route(BASE, console.show, methods=["GET"])
    for path, command in (("test-mails", console.test), ("history-file", console.history_file)):
        router.add_api_route(f"{BASE}/{path}", command, methods=["POST"], dependencies=list(dependencies))
    return console
