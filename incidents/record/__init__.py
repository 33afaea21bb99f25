"""The record: immutable events, the aggregates built from them, and those who follow them."""

from incidents.record.aggregate import Aggregate, folds
from incidents.record.event import Actor, Cause, Context, Event, Instant, Model, stable_id
from incidents.record.follower import Follower
from incidents.record.mapper import Registry
from incidents.record.record import Record, Recorded, open_record, retrying

__all__ = [
    "Actor",
    "Aggregate",
    "Cause",
    "Context",
    "Event",
    "Follower",
    "Instant",
    "Model",
    "Record",
    "Recorded",
    "Registry",
    "folds",
    "open_record",
    "retrying",
    "stable_id",
]
