"""Notice templates: words in several languages as data, what they need, and what the law finds in them."""

from notifier.templates.library import Templates
from notifier.templates.template import (
    CheckAt,
    Rendered,
    RenderedEmail,
    RenderedPublic,
    RenderedSms,
    RenderedVoice,
    Template,
    is_text,
    missing_items,
    render,
    text_digest,
)

__all__ = [
    "CheckAt",
    "Rendered",
    "RenderedEmail",
    "RenderedPublic",
    "RenderedSms",
    "RenderedVoice",
    "Template",
    "Templates",
    "is_text",
    "missing_items",
    "render",
    "text_digest",
]
