"""The page of one campaign: how it stands in plain words, test mails, letters, and who may do which of it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, update

from incidents.record import Context
from incidents.record.database import writing
from incidents.record.transaction import transaction
from notifier.deliveries.tables import sendings
from notifier.letters.batch import LetterBatch
from notifier.letters.tables import letter_batches
from notifier.pacing.tables import provider_states
from notifier.standins.outbox_store import OutboxStore
from tests.tocsin.api.test_campaigns_api import GOOD, campaign, incident, put_csv, values
from tests.tocsin.api.test_letters_api import campaign as unreached
from tests.tocsin.api.test_trials_api import mail, settings
from tests.tocsin.conftest import Door
from tests.tocsin.console.test_console_pages import Page
from tests.tocsin.console.test_filing_page import ANYBODY, hidden, logged_in
from tocsin.console.campaign_page import BATCHES

__all__ = ["campaign", "incident", "mail", "settings", "unreached"]


def path_of(door: Door, campaign: str | UUID) -> str:
    view = door.services.campaigns.view(UUID(str(campaign)))
    return f"/incidents/{view.incident_id}/campaigns/{view.campaign_id}"


def look(door: Door, path: str, *roles: str, lang: str = "en") -> str:
    answer = door.client.request("GET", path, params={"lang": lang}, headers=logged_in(door, *roles))
    assert answer.status_code == 200, answer.text
    page = Page(answer.text)
    assert len(page.ids) == len(set(page.ids))
    text: str = answer.text
    return text


def send(door: Door, path: str, data: dict[str, Any], *roles: str, **headers: str) -> Any:
    return door.client.request(
        "POST", path, data={"once": str(uuid4())} | data, headers=logged_in(door, *roles) | headers
    )


def test_the_page_is_for_readers_and_of_its_own_incident(door: Door, campaign: str) -> None:
    path = path_of(door, campaign)
    other = door.report("Another incident")["id"]
    nobody = door.client.request("GET", path, headers=ANYBODY)
    assert (nobody.status_code, nobody.headers["location"]) == (303, f"/login?next={path.replace('/', '%2F')}")
    for wrong in (f"/incidents/{other}/campaigns/{campaign}", f"{path[:-36]}{uuid4()}"):
        assert door.client.request("GET", wrong, headers=logged_in(door, "auditor")).status_code == 404
    door.settle()
    shown = look(door, path, "auditor")
    assert "<form" not in shown.replace('<form method="post" action="/logout"', "")
    incident_page = look(door, path.partition("/campaigns")[0], "auditor")
    assert f"/campaigns/{campaign}" in incident_page


CSV = (
    "name,phone,email,language,country,im,address\nAn,,an@example.com,vi,VN,,12 Le Loi|Hue\nBo,,,vi,VN,,9 Le Loi|Hue\n"
)


def test_the_forecast_names_what_has_no_time(door: Door, campaign: str) -> None:
    assert put_csv(door, campaign, CSV).status_code == 200
    door.settle()
    told = door.get(f"/v1/campaigns/{campaign}/forecast").json()
    assert (told["email_recipients"], told["unreachable"], told["with_address"]) == (1, 1, 2)
    early = send(door, f"{path_of(door, campaign)}/letters", {}, "analyst")
    assert (early.status_code, "Sending has not begun" in early.text) == (409, True)
    english, chinese = (look(door, path_of(door, campaign), "auditor", lang=lang) for lang in ("en", "zh"))
    assert "With a postal address: 2 people" in english
    assert "No address for any channel that is set up: 1 people" in english
    assert "有邮寄地址：2 人" in chinese


def test_a_test_is_mailed_once_and_what_the_server_said_is_shown(
    door: Door, campaign: str, mail: tuple[int, OutboxStore]
) -> None:
    assert put_csv(door, campaign, GOOD).status_code == 200
    path = path_of(door, campaign)
    assert "Data protection" in look(door, path, "analyst")
    assert "Data protection" not in look(door, path, "auditor")
    form = {"once": str(uuid4()), "to": "dpo", "languages": ["vi"]}
    sent = send(door, f"{path}/test-mails", form, "analyst")
    assert sent.status_code == 200, sent.text
    assert not Page(sent.text).open
    assert sent.text.count("took it") == 2, "the colleague has two addresses"
    assert "dpo@" not in sent.text
    assert "deputy@" not in sent.text
    again = send(door, f"{path}/test-mails", form, "analyst")
    assert "This test was sent before: 2 mails taken, 0 not." in again.text
    assert len(mail[1].messages()) == 2

    nobody = send(door, f"{path}/test-mails", {}, "analyst")
    assert (nobody.status_code, "A test goes to somebody" in nobody.text) == (422, True)
    assert send(door, f"{path}/test-mails", {"to": "an.nguyen@example.com"}, "analyst").status_code == 422
    assert send(door, f"{path}/test-mails", form, "auditor").status_code == 403
    foreign = send(door, f"{path}/test-mails", form, "analyst", **{"sec-fetch-site": "cross-site"})
    assert foreign.status_code == 403
    assert len(mail[1].messages()) == 2


def test_a_notice_is_read_and_approved_by_a_second_person(door: Door, campaign: str) -> None:
    path = path_of(door, campaign)
    assert "It has no audience yet" in look(door, path, "analyst")
    assert put_csv(door, campaign, GOOD).status_code == 200
    short = {name: value for name, value in values().items() if name not in {"measures_taken", "consequences"}}
    assert door.ask("PUT", f"/v1/campaigns/{campaign}/text", json={"values": short}).status_code == 200
    preview = door.get(f"/v1/campaigns/{campaign}/preview", params={"language": "zh-Hans"}).json()
    shown = look(door, path, "approver")
    assert f'<pre class="document">{preview["sms"]["text"]}</pre>' in shown.replace("&#39;", "'").replace("&#34;", '"')
    assert "An Nguyen" not in shown, "nobody of the audience"
    assert send(door, f"{path}/approval-request", {}, "approver").status_code == 403
    asked = send(door, f"{path}/approval-request", {}, "analyst")
    assert (asked.status_code, asked.headers["location"]) == (303, path)

    shown = look(door, path, "approver")
    digests = {name: hidden(shown, name) for name in ("text_digest", "audience_digest")}
    assert "exactly these 2 people" in shown
    assert send(door, f"{path}/approval", digests, "analyst").status_code == 403
    other = send(door, f"{path}/approval", digests | {"text_digest": "sha256:0"}, "approver")
    assert (other.status_code, "not the one that approval was asked for" in other.text) == (409, True)
    lacking = send(door, f"{path}/approval", digests, "approver")
    assert (lacking.status_code, "lacks content that the law demands" in lacking.text) == (422, True)
    foreign = send(door, f"{path}/approval", digests, "approver", **{"sec-fetch-site": "cross-site"})
    assert foreign.status_code == 403
    why = {"override_reason": "Counsel: the rest follows by letter."}
    assert send(door, f"{path}/approval", digests | why, "approver").status_code == 303
    assert door.services.campaigns.view(UUID(campaign)).approved_by == "user:approver"
    assert "Counsel: the rest follows" in look(door, path, "auditor")
    assert send(door, f"{path}/rejection", {"reason": "not today"}, "approver").status_code == 303
    assert "Rejected: not today" in look(door, path, "analyst")


def test_a_rest_is_said_in_plain_words_with_its_code(door: Door, unreached: UUID) -> None:
    until = door.services.clock.now() + timedelta(minutes=4)
    with writing(door.services.engine) as connection:
        connection.execute(update(sendings).values(held_until=until, held_code="20003"))
        connection.execute(
            insert(provider_states).values(
                channel="email", name="relay2", rests_until=until, code="535 5.7.8", changed_at=until
            )
        )
    door.settle()
    english = look(door, path_of(door, unreached), "auditor")
    assert "because of a fault of ours: the provider refuses our credentials (20003)" in english
    assert "The provider “relay2” (email) is left alone until" in english
    assert "the mail server refuses our credentials (535 5.7.8)" in english
    chinese = look(door, path_of(door, unreached), "auditor", lang="zh")
    assert "服务商拒绝了我们的凭据（20003）" in chinese
    told = door.get(f"/v1/campaigns/{unreached}/progress").json()
    assert told["held_meaning"]["en"] == "the provider refuses our credentials"
    assert told["resting"][0]["meaning"]["zh"] == "邮件服务器拒绝了我们的凭据"
    for others in ({"channel_order": "sms,voice"}, {"drill": True}, {"finished_at": until}):
        with writing(door.services.engine) as connection:
            connection.execute(update(sendings).values(channel_order="sms,email", drill=False, finished_at=None))
        assert len(door.get(f"/v1/campaigns/{unreached}/progress").json()["resting"]) == 1
        with writing(door.services.engine) as connection:
            connection.execute(update(sendings).values(**others))
        assert door.get(f"/v1/campaigns/{unreached}/progress").json()["resting"] == [], "it waits for none of them"


def test_filtered_texts_and_a_provider_that_does_not_say_are_called_out(door: Door, unreached: UUID) -> None:
    door.settle()
    path = path_of(door, unreached)
    calm = look(door, path, "auditor")
    assert "filter these text messages" not in calm
    assert "does not say" not in calm
    at = door.services.clock.now()
    with writing(door.services.engine) as connection:
        connection.execute(
            update(sendings).values(filtered_at=at, texts_ended=1_240, texts_filtered=310, unanswered="403")
        )
    english, chinese = (look(door, path, "auditor", lang=lang) for lang in ("en", "zh"))
    assert "310 of 1,240 so far" in english
    assert "they stay unclear: the provider does not let our account do this (403)." in english
    assert "Our key needs the right to read messages and calls." in english
    assert "1,240 条中有 310 条" in chinese
    assert "服务商不允许本账户执行此操作（403）。" in chinese
    with writing(door.services.engine) as connection:
        connection.execute(update(sendings).values(unanswered="ReadTimeout"))
    silent = look(door, path, "auditor")
    assert "the provider did not answer in time (ReadTimeout)" in silent
    assert "Our key needs the right" not in silent


def test_batches_of_letters_are_leafed_through_to_the_last(door: Door, unreached: UUID) -> None:
    door.settle()
    path, drill = path_of(door, unreached), door.services.campaigns.view(unreached).drill
    context = Context.of_command("user:analyst", door.services.clock)
    batches = [UUID(int=number) for number in range(1, 2 * BATCHES + 1)]
    with transaction(door.services.record, door.services.engine) as work:
        for number, batch_id in enumerate(batches):
            batch = LetterBatch(batch_id)
            batch.make(context, incident_id=UUID(path.split("/")[2]), campaign_id=unreached, letters=1, drill=drill)
            work.record(batch)
            row = {"campaign_id": unreached, "batch_id": batch_id, "position": number}
            work.connection.execute(insert(letter_batches).values(row))

    def shown(page: str) -> list[UUID]:
        return [UUID(found) for found in re.findall(r'id="batch-([0-9a-f-]+)"', page)]

    first = look(door, path, "analyst")
    assert shown(first) == batches[:BATCHES]
    assert "From the first batch" not in first
    assert f"?after={batches[BATCHES - 1]}#h-letters" in first
    second = door.client.request(
        "GET", path, params={"after": str(batches[BATCHES - 1])}, headers=logged_in(door, "analyst")
    )
    assert shown(second.text) == batches[BATCHES:]
    assert "From the first batch" in second.text
    assert "Further batches" not in second.text, "that was the last"


@pytest.mark.slow
def test_letters_are_made_saved_and_handed_over(door: Door, unreached: UUID) -> None:
    path = path_of(door, unreached)
    assert "People with an address who are in no batch: 1." in look(door, path, "analyst")
    assert send(door, f"{path}/letters", {}, "auditor").status_code == 403
    made = send(door, f"{path}/letters", {}, "analyst")
    assert (made.status_code, made.headers["location"]) == (303, f"{path}#h-letters")
    none_left = send(door, f"{path}/letters", {}, "analyst")
    assert (none_left.status_code, 'role="alert"' in none_left.text) == (409, True)
    (batch,) = door.services.notifier.letters.of_campaign(unreached)
    files, say = f"{path}/letters/{batch.batch_id}/files", f"{path}/letters/{batch.batch_id}/statement"
    assert "/files/letters" not in look(door, path, "analyst"), "pages name people"
    early = send(door, say, {"state": "handed_over"}, "analyst")
    assert (early.status_code, "Export the letters first" in early.text) == (409, True)
    assert send(door, f"{files}/letters", {}, "analyst").status_code == 403
    other = path_of(door, unreached)[:-36] + str(uuid4())
    assert send(door, f"{other}/letters/{batch.batch_id}/files/letters", {}, "privacy").status_code == 404

    assert f"/letters/{batch.batch_id}/files/letters" in look(door, path, "privacy")
    pages = send(door, f"{files}/letters", {}, "privacy")
    assert pages.content.startswith(b"%PDF-")
    assert pages.headers["content-disposition"].startswith("attachment; ")
    assert pages.headers["cache-control"] == "private, no-store"
    addresses = send(door, f"{files}/addresses", {}, "privacy")
    assert "12 Lê Lợi" in addresses.content.decode()

    named = send(door, say, {"state": "printed", "reference": "an@example.com"}, "analyst")
    assert named.status_code == 422
    once = hidden(look(door, path, "analyst"), "once")
    assert send(door, say, {"once": once, "state": "printed", "reference": " House 7 "}, "analyst").status_code == 303
    shown = look(door, path, "analyst", "privacy")
    assert "House 7" in shown
    assert "They were handed over to the post" in shown
    assert "Lê Lợi" not in shown
    assert send(door, say, {"state": "handed_over"}, "analyst").status_code == 303
    door.settle()
    assert "已交邮" in look(door, path, "auditor", lang="zh")
    assert 'value="given_up"' not in look(door, path, "analyst")


def test_the_file_of_everybody_needs_a_reason_and_the_role(door: Door, campaign: str) -> None:
    assert put_csv(door, campaign, GOOD).status_code == 200
    door.settle()
    path = f"{path_of(door, campaign)}/history-file"
    assert send(door, path, {"reason": "asked for"}, "analyst").status_code == 403
    refused = send(door, path, {"reason": " "}, "privacy")
    assert (refused.status_code, "Say why" in refused.text) == (422, True)
    given = send(door, path, {"reason": "asked for by the authority", "form": "ndjson"}, "privacy")
    assert given.status_code == 200, given.text
    assert given.headers["content-disposition"] == f'attachment; filename="campaign-{campaign}.ndjson"'
    assert '"pending"' in given.text
    kinds = [one.event.kind for one in door.services.record.read(0, 1000)]
    assert kinds.count("history.export-begun") == kinds.count("history.exported") == 1
