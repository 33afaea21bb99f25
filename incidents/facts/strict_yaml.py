"""YAML as data files here mean it: the YAML 1.2 core schema (NO is a word, a date is a word), no duplicate keys.

Reads libyaml's events straight into Python objects, several times as fast as going through nodes. Anchors, aliases and
merge keys (`<<`) work; explicit tags are refused. `line_of` finds the line of a place in a text, for messages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import yaml
from yaml.constructor import ConstructorError
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE: Final = "<<"
_MAX_DEPTH: Final = 60
_MAX_WEIGHT: Final = 2_000_000
"""Values in one document, an alias counted as often as it is used: a short text must not grow without bound."""
_WORDS: Final[Mapping[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_LONGEST_WORD: Final = 5
_FIRST_OF_NUMBERS: Final = frozenset("+-.0123456789")
_INT: Final = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")


def _plain(text: str) -> Any:
    """The value of an unquoted scalar."""
    if len(text) <= _LONGEST_WORD and text in _WORDS:
        return _WORDS[text]
    if text[0] in _FIRST_OF_NUMBERS:
        if _INT.fullmatch(text):
            return int(text.replace("_", ""))
        if _FLOAT.fullmatch(text):
            return float(text)
    return text


class _Open:
    """A mapping or sequence that is being read."""

    __slots__ = ("anchor", "key", "key_mark", "keys", "merged", "value", "waits_for_value", "weight")

    def __init__(self, value: Any, anchor: str | None) -> None:
        self.value = value
        self.anchor = anchor
        self.weight = 1
        self.waits_for_value = False
        self.key: Any = None
        self.key_mark: Any = None
        self.merged: list[Any] = []

    def take(self, value: Any, weight: int, event: Any) -> None:
        """Take the next key or value."""
        self.weight += weight
        if self.weight > _MAX_WEIGHT:
            raise ConstructorError(None, None, "the aliases of the document make it too large", event.start_mark)
        if type(self.value) is list:
            self.value.append(value)
        elif not self.waits_for_value:
            if type(value) is dict or type(value) is list:
                raise ConstructorError(None, None, "a key is a word or a number", event.start_mark)
            self.key, self.key_mark, self.waits_for_value = value, event.start_mark, True
        else:
            self.waits_for_value = False
            if self.key == _MERGE:
                self.merged.append(value)
            elif self.key in self.value:
                raise ConstructorError(None, None, f"the key {self.key!r} is given twice", self.key_mark)
            else:
                self.value[self.key] = value

    def close(self) -> Any:
        """The finished value; what is merged in comes first and gives way to the mapping's own keys."""
        if not self.merged:
            return self.value
        whole: dict[Any, Any] = {}
        for merged in self.merged:
            for part in reversed(merged if isinstance(merged, list) else [merged]):
                if not isinstance(part, dict):
                    raise ConstructorError(None, None, "<< wants a mapping", self.key_mark)
                whole.update(part)
        own = dict(self.value)
        self.value.clear()
        self.value.update(whole | own)
        return self.value


def _document(loader: Any) -> Any:
    anchors: dict[str, tuple[Any, int]] = {}
    stack = [_Open([], None)]
    while True:
        event = loader.get_event()
        kind = type(event)
        if kind is ScalarEvent:
            if event.tag is not None:
                _no_tag(event)
            value, weight = (_plain(event.value) if event.implicit[0] else event.value), 1
            if event.anchor is not None:
                anchors[event.anchor] = (value, 1)
        elif kind is AliasEvent:
            if event.anchor not in anchors:
                raise ConstructorError(None, None, f"there is no anchor {event.anchor!r} before", event.start_mark)
            value, weight = anchors[event.anchor]
        elif kind is MappingStartEvent or kind is SequenceStartEvent:
            _no_tag(event)
            if len(stack) > _MAX_DEPTH:
                raise ConstructorError(None, None, f"nested more than {_MAX_DEPTH} deep", event.start_mark)
            stack.append(_Open({} if kind is MappingStartEvent else [], event.anchor))
            continue
        elif kind is MappingEndEvent or kind is SequenceEndEvent:
            done = stack.pop()
            value, weight = done.close(), done.weight
            if done.anchor is not None:
                anchors[done.anchor] = (value, weight)
        elif kind is DocumentEndEvent:
            return stack[0].value[0]
        else:
            continue
        stack[-1].take(value, weight, event)


def _no_tag(event: Any) -> None:
    if event.tag not in (None, "!"):
        raise ConstructorError(None, None, f"tags such as {event.tag} are not read here", event.start_mark)


def load_yaml(text: str) -> Any:
    """Parse one YAML document. Raises `yaml.YAMLError` with line and column on a syntax fault or a duplicate key."""
    loader = _Loader(text)
    try:
        loader.get_event()  # the start of the stream
        if loader.check_event(yaml.events.StreamEndEvent):
            return None
        found = _document(loader)
        if not loader.check_event(yaml.events.StreamEndEvent):
            event = loader.peek_event()
            raise ConstructorError(None, None, "the file holds more than one document", event.start_mark)
        return found
    finally:
        loader.dispose()


def line_of(text: str, path: Sequence[int | str]) -> int:
    """The line (from 1) on which the value at `path` stands, or the nearest thing around it that exists.

    Keys that a merge brings in are found where they were written.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError:
        return 1
    line = node.start_mark.line if node is not None else 0
    for step in path:
        found = _within(node, step)
        if found is None:
            break
        line, node = found
    return int(line) + 1


def _within(node: Any, step: int | str) -> tuple[int, Any] | None:
    if isinstance(node, yaml.SequenceNode):
        if isinstance(step, int) and step < len(node.value):
            return node.value[step].start_mark.line, node.value[step]
        return None
    if not isinstance(node, yaml.MappingNode):
        return None
    for key, value in node.value:
        if key.value == str(step):
            return key.start_mark.line, value
    for key, value in node.value:
        if key.value == _MERGE:
            for part in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if (found := _within(part, step)) is not None:
                    return found
    return None
