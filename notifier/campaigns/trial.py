"""A test send: the notice as it stands, marked as a test, to colleagues named in the settings.

It counts nothing: there is no delivery, no receipt and no recipient of the audience in it. Whom it goes to is chosen by
the name of a colleague, never by an address, so that it cannot be turned at the people it is about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from uuid import UUID, uuid4

import structlog

from incidents.errors import IllegalTransition, InvalidInput
from incidents.record import Aggregate, Context, Model, Record, stable_id
from notifier.campaigns.campaign import BEGUN
from notifier.campaigns.service import SAMPLE_REFERENCE, CampaignService, CampaignView
from notifier.channels.channel import Channel, Outgoing
from notifier.channels.outcome import Verdict
from notifier.history.events import CampaignTested
from notifier.templates import RenderedEmail

log = structlog.get_logger(__name__)

MOST = 20
"""Mails of one test."""

_MARK = {"en": "TEST", "zh-Hans": "测试", "zh-Hant": "測試", "vi": "THỬ"}
_BANNER = {
    "en": "This is a test of a notice that has not been sent to anybody. Nothing in it is approved yet, and its codes "
    "lead nowhere. Please do not forward it.",
    "zh-Hans": "这是一封测试邮件：本通知尚未发送给任何人，内容可能尚未获批准，其中的编号无效。请勿转发。",
    "zh-Hant": "這是一封測試郵件：本通知尚未發送給任何人，內容可能尚未獲核准，其中的編號無效。請勿轉寄。",
    "vi": "Đây là thư thử của một thông báo chưa gửi cho ai. Nội dung có thể chưa được phê duyệt, các mã trong thư "
    "không có hiệu lực. Vui lòng không chuyển tiếp.",
}
_SMS = {
    "en": "The text message would read:",
    "zh-Hans": "短信内容：",
    "zh-Hant": "簡訊內容：",
    "vi": "Nội dung tin nhắn:",
}


@dataclass(frozen=True, slots=True)
class Colleague:
    """Somebody of ours who may get a test."""

    name: str
    addresses: tuple[str, ...]


class TrialMail(Model):
    """What became of the mails to one colleague in one language."""

    to: str
    language: str
    outcome: Verdict
    code: str | None


class TrialService:
    """Sends tests. The channel is one of its own, opened for a test and closed after it."""

    def __init__(self, record: Record, campaigns: CampaignService, colleagues: Mapping[str, Colleague]) -> None:
        self._record = record
        self._campaigns = campaigns
        self._colleagues = colleagues

    def plan(self, campaign_id: object, to: Sequence[str], languages: Sequence[str]) -> tuple[CampaignView, list[str]]:
        """The campaign and the languages of a test (default: all its audience reads). InvalidInput names who or what
        is unknown, IllegalTransition once it has begun or is a drill."""
        view = self._campaigns.view(campaign_id)  # type: ignore[arg-type]
        if view.status in BEGUN:
            raise IllegalTransition(f"The campaign is {view.status.value}: test a notice before it is sent.")
        if view.drill:
            raise IllegalTransition("A drill reaches nobody, and its notice is not mailed for a test either.")
        if unknown := sorted(set(to) - set(self._colleagues)):
            there = ", ".join(sorted(self._colleagues)) or "none; name them under [warnings.owners]"
            raise InvalidInput(f"There is no colleague {unknown[0][:64]!r}; there are: {there}.", field="to")
        chosen = list(dict.fromkeys(languages or view.languages or ("en",)))
        if not to or sum(len(self._colleagues[name].addresses) for name in set(to)) * len(chosen) > MOST:
            raise InvalidInput(f"A test goes to somebody, and has at most {MOST} mails.", field="to")
        return view, chosen

    def done(self, context: Context) -> CampaignTested | None:
        """What came of a test that this very command sent before; None when it sent none."""
        first = next(iter(self._record.events.get(_stream(context), limit=1)), None)
        return first if isinstance(first, CampaignTested) else None

    async def send(
        self, context: Context, view: CampaignView, to: Sequence[str], languages: Sequence[str], channel: Channel
    ) -> tuple[TrialMail, ...]:
        """Mail it, and put on record that it was. What `plan` gave; InvalidInput while essential values are missing."""
        mails: list[TrialMail] = []
        try:
            # All are made before the first is sent, and nothing that waits for the database holds up other requests.
            made = [(language, await asyncio.to_thread(self._made, view, language)) for language in languages]
            for language, content in made:
                for name in dict.fromkeys(to):
                    for address in self._colleagues[name].addresses:
                        outcome = await channel.send(_outgoing(address, content, language), _nothing_to_note)
                        mails.append(TrialMail(to=name, language=language, outcome=outcome.verdict, code=outcome.code))
        finally:
            await channel.close()
            if mails:
                await asyncio.to_thread(self._note, context, view, languages, mails)
        return tuple(mails)

    def _made(self, view: CampaignView, language: str) -> RenderedEmail:
        preview = self._campaigns.preview(view.campaign_id, language)
        return marked(preview.email, preview.sms.text, language)

    def _note(self, context: Context, view: CampaignView, languages: Sequence[str], mails: Sequence[TrialMail]) -> None:
        accepted = sum(mail.outcome is Verdict.ACCEPTED for mail in mails)
        stream = Aggregate(_stream(context))
        stream.emit(
            CampaignTested,
            context,
            incident_id=view.incident_id,
            campaign_id=view.campaign_id,
            to=tuple(dict.fromkeys(mail.to for mail in mails)),
            languages=tuple(languages),
            text_digest=view.text_digest,
            accepted=accepted,
            refused=len(mails) - accepted,
        )
        self._record.commit(stream)
        log.info("campaign.tested", campaign=str(view.campaign_id), accepted=accepted, mails=len(mails))


def _stream(context: Context) -> UUID:
    return stable_id("campaign-tested", context.cause)


def marked(email: RenderedEmail, sms: str, language: str) -> RenderedEmail:
    """The mail as a test: said in its subject and first, with the text message below."""
    mark, banner = _MARK.get(language, _MARK["en"]), _BANNER.get(language, _BANNER["en"])
    below = _SMS.get(language, _SMS["en"])
    box = f'<p style="margin:0;padding:12px;border:2px solid #b3261e;font-weight:bold">{escape(banner)}</p>'
    text = f'<p style="padding:12px"><b>{escape(below)}</b><br>{escape(sms)}</p>'
    html = email.html
    opened = html.find(">", html.find("<body")) + 1 if "<body" in html else 0
    html = html[:opened] + box + html[opened:]
    html = html.replace("</body>", f"{text}</body>", 1) if "</body>" in html else html + text
    return RenderedEmail(
        subject=f"[{mark}] {email.subject}",
        text=f"*** {banner} ***\n\n{email.text}\n---\n{below}\n{sms}\n",
        html=html,
    )


def _outgoing(address: str, content: RenderedEmail, language: str) -> Outgoing:
    key = uuid4()  # every test is a mail of its own
    return Outgoing(
        delivery_id=key,
        campaign_id=key,
        message_key=key,
        address=address,
        content=content,
        language=language,
        marker=SAMPLE_REFERENCE,
    )


async def _nothing_to_note() -> None:
    """A test that a kill cuts short may be sent again by whoever asked for it."""
