"""The content matrix: every item that a set of duties asks for, and which of them a draft does not say yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict

from playbooks.law.duty import Duty, DutyStatus

MAX_ITEMS = 500


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Wording(_Frozen):
    """How one rule words an item."""

    rule: str
    article: str
    text: Mapping[str, str]
    listed: bool
    """Whether the text of law lists the item; otherwise it is the obvious minimum."""


class DemandedItem(_Frozen):
    """One item with every rule that asks for it. Rules that share an id mean the same thing by it."""

    id: str
    wordings: tuple[Wording, ...]
    duties: tuple[str, ...]
    certain: bool
    """Whether a duty that is due (or waits for its clock) asks for it, and not only possible ones."""

    @property
    def text(self) -> Mapping[str, str]:
        """The first wording."""
        return self.wordings[0].text

    @property
    def rules(self) -> tuple[str, ...]:
        """Ids of the rules that ask for it."""
        return tuple(wording.rule for wording in self.wordings)


class DraftCheck(_Frozen):
    """A draft against what is demanded."""

    missing: tuple[DemandedItem, ...]
    present: tuple[str, ...]
    not_demanded: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every item of a certain duty is there."""
        return not any(item.certain for item in self.missing)


def demanded_items(duties: Iterable[Duty]) -> tuple[DemandedItem, ...]:
    """The union of the items that `duties` ask for, in the order they come up. An exempt duty asks for nothing."""
    wordings: dict[str, dict[str, Wording]] = {}
    asking: dict[str, list[str]] = {}
    certain: set[str] = set()
    for duty in duties:
        if duty.status is DutyStatus.EXEMPT:
            continue
        for item in duty.contents:
            said = Wording(rule=duty.rule, article=duty.article, text=item.text, listed=duty.contents_basis == "listed")
            wordings.setdefault(item.id, {}).setdefault(duty.rule, said)
            asking.setdefault(item.id, []).append(duty.id)
            if duty.status is not DutyStatus.POSSIBLE:
                certain.add(item.id)
    return tuple(
        DemandedItem(
            id=name, wordings=tuple(wordings[name].values()), duties=tuple(asking[name]), certain=name in certain
        )
        for name in wordings
    )


def check_draft(demanded: Iterable[DemandedItem], draft: Mapping[str, str]) -> DraftCheck:
    """Which demanded items `draft` (item id -> text) does not say. Blank text says nothing."""
    wanted = {item.id: item for item in demanded}
    said = {name for name, text in draft.items() if text.strip()}
    return DraftCheck(
        missing=tuple(item for name, item in wanted.items() if name not in said),
        present=tuple(name for name in wanted if name in said),
        not_demanded=tuple(sorted(set(draft) - set(wanted))),
    )
