"""The notice and the law packs were written in two rooms; here they meet: every item that the laws of China, Viet Nam
and the EU demand of a notice to people about their data is one that the notice's template knows how to supply."""

from __future__ import annotations

import pytest

from notifier.templates import Templates, missing_items
from playbooks.law.law import load_law
from playbooks.law.pack import RecipientKind

WRITTEN_FOR = ("cn-ndsr-11-", "cn-pipl-57-", "cn-hn-26-", "cn-dsl-", "cn-csl-44-", "eu-gdpr-34-individuals", "vn-pdpl-")
"""Rules the template was written for. Others (defects of products, credit agencies of US states ...) may demand items
it lacks; those are then named as missing, and the notice needs words of its own or a named person's override."""

DEMANDS = [
    (rule.id, item.id)
    for _, rule in load_law().rules()
    if any(recipient.kind is RecipientKind.INDIVIDUALS for recipient in rule.recipients)
    and rule.id.startswith(WRITTEN_FOR)
    for item in rule.contents.items
]


@pytest.mark.parametrize(("rule", "item"), DEMANDS)
def test_the_template_knows_every_item_the_law_demands(rule: str, item: str) -> None:
    template = Templates().get("personal-data-breach")
    everything = {
        name: {language: ["x"] if value.type == "list" else "x" for language in template.languages}
        if value.by_language
        else "x"
        for name, value in template.manifest.values.items()
    }

    assert missing_items(template, everything, (item,), None) == ()
    assert missing_items(template, {}, (item,), None) == (item,)
