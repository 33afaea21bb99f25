"""The schema of law packs: one folder per jurisdiction, one YAML file per instrument. In words: docs/law.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cache, lru_cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from incidents.facts.conditions import Condition, InvalidCondition
from incidents.facts.places import regions
from incidents.facts.strict_yaml import line_of
from incidents.facts.values import Unfit, instant
from incidents.facts.vocabulary import vocabulary
from incidents.grading.scheme import load_schemes
from playbooks.law.delays import DelayRequest, DelayTerms
from playbooks.law.period import Period, Unit, duration

Confidence = Literal["high", "medium", "low"]
Evidence = Literal["text", "secondary", "background"]
Texts = Mapping[str, str]
RuleId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=80)]

CHECKED = "checked"
"""Key of the validation context: the conditions of this text were checked when it was released."""

COMPUTED_CLOCKS = frozenset({"year_end"})
"""Clock events that follow from another time: the end of the calendar year of discovery."""


class Status(StrEnum):
    """Whether an instrument or rule binds. Derived is what is `in_force`, and by date what was or will be."""

    IN_FORCE = "in_force"
    NOT_YET_IN_FORCE = "not_yet_in_force"
    REPEALED = "repealed"
    SUPERSEDED = "superseded"
    PROPOSED = "proposed"
    DRAFT = "draft"
    DRAFT_FIGURE = "draft_figure"
    UNVERIFIED = "unverified"
    VOLUNTARY = "voluntary"
    CONTRACTUAL = "contractual"
    EXAMPLE = "example"


class Stage(StrEnum):
    """Which telling of the story this is."""

    EARLY_WARNING = "early_warning"
    INITIAL = "initial"
    INTERMEDIATE = "intermediate"
    UPDATE = "update"
    FINAL = "final"
    INDIVIDUAL = "individual"
    PUBLIC = "public"
    LOG = "log"
    CONTRACTUAL = "contractual"


class Party(StrEnum):
    """Who has to do it. Only the operator's own duties are derived by default."""

    OPERATOR = "operator"
    AUTHORITY = "authority"
    """An authority passes a report on; useful to expect, not a duty of the operator."""
    PROVIDER = "provider"
    """A provider must tell the operator."""
    PUBLIC = "public"
    """Anybody may report; encouraged, not owed."""


class Occasion(StrEnum):
    """What the rule hangs on. Standing duties run without any incident."""

    INCIDENT = "incident"
    REQUEST = "request"
    STANDING = "standing"


class RecipientKind(StrEnum):
    """What sort of recipient it is, which decides between a filing, a campaign and a publication."""

    AUTHORITY = "authority"
    INDIVIDUALS = "individuals"
    PUBLIC = "public"
    PARTY = "party"
    INTERNAL = "internal"


class Promptness(StrEnum):
    """Standards without a number (or beside one)."""

    IMMEDIATE = "immediate"
    FIRST_MOMENT = "first_moment"
    PROMPT = "prompt"
    WITHOUT_UNDUE_DELAY = "without_undue_delay"
    AS_SOON_AS_POSSIBLE = "as_soon_as_possible"
    EXPEDIENT = "expedient"
    AT_LATEST = "at_latest"
    AS_REQUIRED = "as_required"
    ON_REQUEST = "on_request"


class Effect(StrEnum):
    """What an exemption does to the duty."""

    NOT_REQUIRED = "not_required"
    DEFERRED = "deferred"
    REPLACED = "replaced"
    EXTENDED = "extended"


class Frozen(BaseModel):
    """Base of all parts of a pack."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def english(texts: Texts) -> Texts:
    """Check that a text exists in English."""
    if not texts.get("en"):
        raise ValueError("needs at least the language en")
    return texts


class Recipient(Frozen):
    """Whom to tell. `role` is looked up in the operator's directory of recipients."""

    role: str = Field(pattern=r"^[a-z][a-z0-9_.-]*$", max_length=80)
    kind: RecipientKind
    name: Texts

    _english = field_validator("name")(english)

    def __str__(self) -> str:
        return self.name["en"]


class ContentItem(Frozen):
    """One thing the notice or filing must say."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)
    text: Texts
    when: str | None = None
    """CEL; the item is asked for only when it holds (or may hold)."""

    _english = field_validator("text")(english)

    @field_validator("when")
    @classmethod
    def _is_condition(cls, text: str | None, info: ValidationInfo) -> str | None:
        return text if text is None else check_condition(text, info)

    @property
    def condition(self) -> Condition:
        """The compiled `when`; true where there is none."""
        return compiled(self.when or "true")


class Contents(Frozen):
    """`listed`: the text lists the items. `implied`: it lists none, and these are the obvious minimum."""

    basis: Literal["listed", "implied"]
    items: tuple[ContentItem, ...] = ()


class Clock(Frozen):
    """The event the period counts from, in one of three forms.

    `event`: a clock of the fact vocabulary. `after`: the submission of another rule of the same instrument (the latest
    of several). `end_of`: the end of another rule's period. `fallbacks` are tried in order when `event` is not known;
    the duty then says that it assumed so.
    """

    event: str | None = None
    after: tuple[RuleId, ...] = ()
    end_of: RuleId | None = None
    fallbacks: tuple[str, ...] = ()
    exact: Texts | None = None
    """The start in the words of the rule."""

    @model_validator(mode="after")
    def _one_form(self) -> Clock:
        if sum((self.event is not None, bool(self.after), self.end_of is not None)) != 1:
            raise ValueError("give exactly one of event, after, end_of")
        for name in (self.event, *self.fallbacks):
            if name is not None and name not in vocabulary().clocks and name not in COMPUTED_CLOCKS:
                known = ", ".join(vocabulary().clocks)
                raise ValueError(f"there is no clock event “{name}”; known: {known}")
        return self

    @property
    def name(self) -> str:
        """The name of the event as a duty shows it."""
        if self.event is not None:
            return self.event
        return f"submitted:{'|'.join(self.after)}" if self.after else f"end_of:{self.end_of}"


class Exemption(Frozen):
    """When the duty falls away or changes. Without `when` it is a matter for a person, shown with the duty."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)
    when: str | None = None
    words: Texts
    effect: Effect = Effect.NOT_REQUIRED
    replaced_by: RuleId | None = None
    delay: DelayTerms | None = None
    """The terms on which a request on record makes the duty wait. Only with the effects deferred and extended."""

    _english = field_validator("words")(english)

    @field_validator("when")
    @classmethod
    def _is_condition(cls, text: str | None, info: ValidationInfo) -> str | None:
        return text if text is None else check_condition(text, info)

    @model_validator(mode="after")
    def _delays_only(self) -> Exemption:
        if self.delay is not None and self.effect not in (Effect.DEFERRED, Effect.EXTENDED):
            raise ValueError("delay goes with the effects deferred and extended only")
        return self

    @property
    def condition(self) -> Condition | None:
        """The compiled condition, if the exemption has one."""
        return compiled(self.when) if self.when is not None else None


@lru_cache(maxsize=8_192)
def compiled(text: str) -> Condition:
    """Compile a condition of a pack against the vocabulary and the schemes that come with Tocsin."""
    try:
        return Condition.compile(text, levels=_levels())
    except InvalidCondition as fault:
        raise ValueError(fault.detail) from fault


def check_condition(text: str, info: ValidationInfo) -> str:
    """Compile a condition now, so that a fault shows at start. Packs known to be checked compile theirs when used."""
    if not (info.context or {}).get(CHECKED):
        compiled(text)
    return text


@cache
def _levels() -> Mapping[str, Mapping[str, int]]:
    return {scheme.key: scheme.ranks() for scheme in load_schemes().values()}


class Substitute(Frozen):
    """When the rule has a public notice take the place of notices to single people. Any of the numbers suffices; a
    person decides."""

    unreached: int | None = Field(None, ge=1)
    """So many people, or more, cannot be reached."""
    unreached_share: float | None = Field(None, gt=0, le=1)
    """Such a share of them, or more, cannot be reached."""
    affected_over: int | None = Field(None, ge=1)
    """More people than so many are concerned."""
    how: Texts
    """What the rule wants of the public notice, in short."""

    _english = field_validator("how")(english)

    @model_validator(mode="after")
    def _says_when(self) -> Substitute:
        if self.unreached is None and self.unreached_share is None and self.affected_over is None:
            raise ValueError("say how many people a public notice takes the place of telling")
        return self


class Rule(Frozen):
    """One obligation: who, when, whom, what, by when."""

    id: RuleId
    carries: tuple[RuleId, ...] = ()
    """Ids of the records of the research tables that this rule carries; its own id when left out."""
    article: str
    in_force_from: date | None = None
    in_force_to: date | None = None
    status: Status | None = None
    party: Party = Party.OPERATOR
    occasion: Occasion = Occasion.INCIDENT
    who: Texts
    incident: Texts
    bound: str = Field(description="CEL: is the organisation bound by the rule?")
    trigger: str = Field(description="CEL: did the thing happen that the rule speaks of?")
    exemptions: tuple[Exemption, ...] = ()
    recipients: tuple[Recipient, ...] = Field(min_length=1)
    recipient_note: str = ""
    stage: Stage
    clock: Clock
    period: Period = Period()
    promptness: Promptness | None = None
    reminder: str | None = None
    """ISO 8601 duration after the clock at which a duty without a number rings."""
    wording: Texts = Field(default_factory=dict)
    """The words of the rule, short; `quote` languages hold original text, en may be a paraphrase."""
    contents: Contents
    channels: tuple[str, ...] = ()
    substitute: Substitute | None = None
    penalties: str = ""
    time_zone: str | None = None
    sources: tuple[str, ...] = ()
    confidence: Confidence
    evidence: Evidence | None = None
    note: str = ""

    _english = field_validator("who", "incident")(english)

    @field_validator("reminder")
    @classmethod
    def _is_duration(cls, text: str | None) -> str | None:
        if text is not None:
            duration(text)
        return text

    @field_validator("bound", "trigger")
    @classmethod
    def _is_condition(cls, text: str, info: ValidationInfo) -> str:
        return check_condition(text, info)

    @field_validator("period")
    @classmethod
    def _relief_is_condition(cls, period: Period, info: ValidationInfo) -> Period:
        if period.rollover is not None and period.rollover.not_for is not None:
            check_condition(period.rollover.not_for, info)
        return period

    @model_validator(mode="after")
    def _consistent(self) -> Rule:
        if self.in_force_from and self.in_force_to and self.in_force_to < self.in_force_from:
            raise ValueError("in_force_to lies before in_force_from")
        names = [exemption.id for exemption in self.exemptions]
        names += [item.id for item in self.contents.items]
        if len(set(names)) != len(names):
            raise ValueError("ids of exemptions and content items must differ")
        roles = [recipient.role for recipient in self.recipients]
        if len(set(roles)) != len(roles):
            raise ValueError("every recipient once")
        if not self.period.has_end and self.promptness is None and self.period.unit is Unit.NONE:
            raise ValueError("a period without a number needs a promptness")
        return self

    @property
    def records(self) -> tuple[str, ...]:
        """Ids of the records of the research tables that this rule carries."""
        return self.carries or (self.id,)

    @property
    def bound_condition(self) -> Condition:
        """The compiled `bound`."""
        return compiled(self.bound)

    @property
    def trigger_condition(self) -> Condition:
        """The compiled `trigger`."""
        return compiled(self.trigger)


class Expected(Frozen):
    """What a case expects of one rule. `none`: no duty at all."""

    status: Literal["due", "paused", "possible", "waiting_for_clock", "exempt", "none"]
    strict_due: str | None = None
    legal_end: str | None = None
    settle_by: tuple[str, ...] | None = None
    clock: str | None = None
    kept_until: str | None = None
    """End of a retention time."""
    paused_until: str | None = None
    reminder_at: str | None = None


class Case(Frozen):
    """A worked case of the pack: facts, and what must follow. Run by the linter."""

    id: RuleId
    about: str
    facts: Mapping[str, Any]
    at: str
    submissions: Mapping[RuleId, str] = Field(default_factory=dict)
    delays: tuple[DelayRequest, ...] = ()
    expect: Mapping[RuleId, Expected]

    @field_validator("at")
    @classmethod
    def _with_offset(cls, at: str) -> str:
        try:
            instant(at)
        except Unfit as fault:
            raise ValueError(f"at {fault}") from fault
        return at


class Forum(Frozen):
    """Where the authority sits, which gives the time zone and the calendar.

    Either fixed (`time_zone`, `calendar`), or found in a `region` (main establishment there, else the one country of
    the region that is concerned), with the fixed values as the default.
    """

    time_zone: str
    calendar: str
    region: str | None = None

    @field_validator("region")
    @classmethod
    def _known(cls, region: str | None) -> str | None:
        if region is not None and region not in regions():
            raise ValueError(f"there is no region “{region}”; known: {', '.join(regions())}")
        return region


class Instrument(Frozen):
    """A law, regulation, rule or contract."""

    id: RuleId
    jurisdiction: str = Field(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")
    title: Texts
    short: Texts
    citation: str
    status: Status
    in_force_from: date | None
    in_force_to: date | None = None
    version: str = Field(description="Version of the pack, not of the law.")
    checked_on: date
    forum: Forum
    sources: tuple[str, ...] = ()
    confidence: Confidence
    evidence: Evidence | None = None
    note: str = ""

    _english = field_validator("title", "short")(english)

    @property
    def name(self) -> str:
        """The original title with the English one and the citation, as a duty shows it."""
        original = next((text for language, text in self.title.items() if language != "en"), None)
        if original is None:
            return f"{self.title['en']} ({self.citation})" if self.citation else self.title["en"]
        return f"{original} ({', '.join(part for part in (self.title['en'], self.citation) if part)})"


@dataclass(frozen=True, slots=True)
class Source:
    """The file a pack was read from, kept so that a message can name the line."""

    name: str
    text: str

    def place(self, path: Sequence[str | int]) -> str:
        """`file:line` of the value at `path`."""
        return f"{self.name}:{line_of(self.text, path)}"


class Pack(Frozen):
    """One file: an instrument, its rules and its cases."""

    schema_version: Literal[1] = Field(alias="schema")
    definitions: Mapping[str, Any] = Field(default_factory=dict)
    """Parts used more than once, written once with YAML anchors. Not read otherwise."""
    instrument: Instrument
    rules: tuple[Rule, ...] = Field(min_length=1)
    cases: tuple[Case, ...] = ()

    _source: Source | None = PrivateAttr(default=None)

    def came_from(self, source: Source) -> None:
        """Remember the file; done once, by the reader."""
        self._source = source

    @property
    def text(self) -> str:
        """The file it was read from; empty where it was not read from a file."""
        return self._source.text if self._source is not None else ""

    def place(self, *path: str | int) -> str:
        """`file:line` of a part of this pack, or the id of the instrument where it was not read from a file."""
        return self._source.place(path) if self._source is not None else self.instrument.id

    def place_of(self, rule: str) -> str:
        """`file:line` of the rule of that id."""
        return self.place("rules", next(at for at, one in enumerate(self.rules) if one.id == rule))
