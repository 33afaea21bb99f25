"""The wiring: every part of a running Tocsin, built once from the settings and handed to doors and workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from sqlalchemy import Engine

from incidents.alerts.events import EVENTS as ALERT_EVENTS
from incidents.alerts.intake import AlertIntake
from incidents.assets.events import EVENTS as ASSET_EVENTS
from incidents.assets.service import AssetService
from incidents.clock import Clock
from incidents.facts import OrganisationProfile
from incidents.incident.events import EVENTS as INCIDENT_EVENTS
from incidents.incident.service import IncidentService
from incidents.record import Record, Registry
from notifier.audience import Audiences
from notifier.campaigns.events import EVENTS as CAMPAIGN_EVENTS
from notifier.campaigns.service import CampaignService
from notifier.campaigns.trial import Colleague, TrialService
from notifier.deliveries.rows_events import EVENTS as ROWS_EVENTS
from notifier.history import Finder, HistoryAccess, Peopled
from notifier.history.events import EVENTS as HISTORY_EVENTS
from notifier.letters.events import EVENTS as LETTER_EVENTS
from notifier.public_notice.events import EVENTS as PUBLIC_NOTICE_EVENTS
from notifier.receipts.twilio import TwilioReceipts
from notifier.templates import Templates
from notifier.vault import Vault
from notifier.wiring import Notifier
from playbooks.definitions.definition import Playbook
from playbooks.directory import Directory
from playbooks.duties.events import EVENTS as DUTY_EVENTS
from playbooks.duties.service import DutyService
from playbooks.filings.events import EVENTS as FILING_EVENTS
from playbooks.filings.service import FilingService
from playbooks.law.book import LawBook
from playbooks.law.calendars import Calendars
from playbooks.law.law import Law
from playbooks.parties.events import EVENTS as PARTY_EVENTS
from playbooks.parties.service import PartyService
from playbooks.runs.events import EVENTS as RUN_EVENTS
from playbooks.runs.service import RunService
from projections.coverage.history_desk import HistoryDesk
from projections.runner import Runner
from tocsin.access.answers import Answers
from tocsin.access.keys import Keys
from tocsin.backup.hold import SendingHold
from tocsin.observability.metrics import Metrics
from tocsin.settings import Settings


def registry() -> Registry:
    """All event classes of all rooms."""
    return Registry(
        [
            *INCIDENT_EVENTS,
            *ALERT_EVENTS,
            *ASSET_EVENTS,
            *DUTY_EVENTS,
            *RUN_EVENTS,
            *PARTY_EVENTS,
            *FILING_EVENTS,
            *CAMPAIGN_EVENTS,
            *PUBLIC_NOTICE_EVENTS,
            *LETTER_EVENTS,
            *ROWS_EVENTS,
            *HISTORY_EVENTS,
        ]
    )


@dataclass(frozen=True)
class Services:
    """Everything a door may call. Attributes are application services; nothing here knows HTTP."""

    settings: Settings
    demo: bool
    clock: Clock
    engine: Engine
    record: Record
    metrics: Metrics
    keys: Keys
    answers: Answers
    profile: OrganisationProfile
    playbooks: Mapping[str, Playbook]
    incidents: IncidentService
    assets: AssetService
    directory: Directory
    duties: DutyService
    parties: PartyService
    filings: FilingService
    runs: RunService
    intake: AlertIntake
    notifier: Notifier
    sending_hold: SendingHold
    projections: Runner
    law_book: LawBook
    calendars: Calendars

    @property
    def audiences(self) -> Audiences:
        """Imported audiences."""
        return self.notifier.audiences

    @property
    def campaigns(self) -> CampaignService:
        """Commands on campaigns."""
        return self.notifier.campaigns

    @property
    def templates(self) -> Templates:
        """The words of notices."""
        return self.notifier.templates

    @property
    def vault(self) -> Vault:
        """Contact data of affected persons, encrypted."""
        return self.notifier.vault

    @property
    def trials(self) -> TrialService:
        """Test sends to colleagues."""
        owners = self.settings.warnings.owners
        colleagues = {name: Colleague(owner.name, tuple(owner.email)) for name, owner in owners.items()}
        return TrialService(self.record, self.campaigns, colleagues)

    @cached_property
    def _peopled(self) -> Peopled:
        return Peopled()

    @property
    def history(self) -> HistoryDesk:
        """What became of single people."""
        finder = Finder(self.engine, self.vault.keys, self._peopled)
        return HistoryDesk(self.engine, self.record, self.clock, finder, HistoryAccess(self.record))

    @property
    def law(self) -> Law:
        """The law in use."""
        return self.law_book.law

    @property
    def receipts(self) -> TwilioReceipts | None:
        """Where provider receipts go in; None when no SMS provider is set."""
        return self.notifier.receipts
