"""Facts: one typed, documented vocabulary, the values stated in it, and conditions over them. Pure."""

from incidents.facts.conditions import Condition, ConditionContext, Outcome, Verdict
from incidents.facts.facts import Facts, join, parse_changes
from incidents.facts.organisation import OrganisationProfile
from incidents.facts.schema import facts_page, json_schema
from incidents.facts.vocabulary import UNKNOWN, FactSpec, FactType, Vocabulary, vocabulary

__all__ = [
    "UNKNOWN",
    "Condition",
    "ConditionContext",
    "FactSpec",
    "FactType",
    "Facts",
    "OrganisationProfile",
    "Outcome",
    "Verdict",
    "Vocabulary",
    "facts_page",
    "join",
    "json_schema",
    "parse_changes",
    "vocabulary",
]
