"""Grading: published schemes as data, and the level each gives an incident from its facts. Pure."""

from incidents.grading.grade import CriterionState, GradeResult, grade
from incidents.grading.scheme import Criterion, GradingScheme, Level, load_schemes, parse_scheme, scheme_named

__all__ = [
    "Criterion",
    "CriterionState",
    "GradeResult",
    "GradingScheme",
    "Level",
    "grade",
    "load_schemes",
    "parse_scheme",
    "scheme_named",
]
