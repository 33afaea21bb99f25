"""Notice templates: words in several languages as data, what they need, and what the law finds in them."""

from notifier.templates.library import Templates
from notifier.templates.template import (
    CheckAt,
    Rendered,
    RenderedEmail,
    RenderedSms,
    Template,
    missing_items,
    render,
    text_digest,
)

__all__ = [
    "CheckAt",
    "Rendered",
    "RenderedEmail",
    "RenderedSms",
    "Template",
    "Templates",
    "missing_items",
    "render",
    "text_digest",
]
