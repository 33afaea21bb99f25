"""Words of the outbox page, in English and Simplified Chinese."""

from __future__ import annotations

from typing import Literal

Language = Literal["en", "zh"]

_WORDS: dict[str, tuple[str, str]] = {
    "title": ("Outbox", "发件箱"),
    "intro": (
        "Every message the simulated network accepted, as the person would see it. Nothing here left this machine.",
        "模拟网络接收的每一条消息，与收件人看到的样子相同。所有内容均未离开本机。",
    ),
    "channel": ("Channel", "渠道"),
    "state": ("State", "状态"),
    "address": ("Number or email", "号码或邮箱"),
    "any": ("All", "全部"),
    "sms": ("Text messages", "短信"),
    "email": ("Emails", "电子邮件"),
    "voice": ("Calls", "语音电话"),
    "show": ("Show", "筛选"),
    "reset": ("Clear", "清除"),
    "to": ("To", "收件人"),
    "from": ("From", "发件人"),
    "subject": ("Subject", "主题"),
    "no_subject": ("(no subject)", "（无主题）"),
    "older": ("Older", "更早"),
    "newest": ("Newest", "最新"),
    "none": ("No message yet.", "还没有消息。"),
    "none_found": ("No message meets these filters.", "没有符合条件的消息。"),
    "open": ("Open", "打开"),
    "back": ("Back to the outbox", "返回发件箱"),
    "same": ("All to this address", "发往此地址的全部消息"),
    "same_shown": ("Messages to", "发往以下地址的消息："),
    "accepted_at": ("Accepted", "接收时间"),
    "outcome": ("Simulated outcome", "模拟结果"),
    "segments": ("Segments", "短信条数"),
    "callbacks": ("Status callbacks", "状态回调"),
    "no_callbacks": ("None sent.", "未发送。"),
    "attempt": ("Try", "次数"),
    "answer": ("Answer", "应答"),
    "plain": ("Plain text", "纯文本"),
    "html": ("As displayed", "显示效果"),
    "headers": ("Headers", "邮件头"),
    "attachments": ("Attachments", "附件"),
    "redacted": ("(text removed)", "（内容已删除）"),
    "refused": ("Turned away at the door", "被拒收"),
    "refused_intro": (
        "Attempts the simulated network did not accept; nobody saw these.",
        "模拟网络未接收的尝试；无人看到这些消息。",
    ),
    "not_found": ("There is no such message.", "没有这条消息。"),
    "code": ("Code", "代码"),
    "time_zone": ("Times are in UTC.", "时间为协调世界时（UTC）。"),
    "status_accepted": ("accepted", "已接收"),
    "status_scheduled": ("scheduled", "已定时"),
    "status_queued": ("queued", "排队中"),
    "status_sending": ("sending", "发送中"),
    "status_sent": ("sent", "已发出"),
    "status_delivered": ("delivered", "已送达"),
    "status_undelivered": ("undelivered", "未送达"),
    "status_failed": ("failed", "发送失败"),
    "status_canceled": ("canceled", "已取消"),
    "status_bounced": ("bounced", "已退信"),
    "status_ringing": ("ringing", "振铃中"),
    "status_in-progress": ("answered", "通话中"),
    "status_completed": ("completed", "通话结束"),
    "status_busy": ("busy", "占线"),
    "status_no-answer": ("no answer", "无人接听"),
}

STATES = tuple(name.removeprefix("status_") for name in _WORDS if name.startswith("status_"))


def words(language: Language) -> dict[str, str]:
    """All words of one language, by key."""
    place = 0 if language == "en" else 1
    return {key: pair[place] for key, pair in _WORDS.items()}


def preferred_language(asked: str | None, accept_language: str) -> Language:
    """The language asked for by ``?lang=``, else the first one of ``Accept-Language`` that exists here."""
    if asked in {"en", "zh"}:
        return "zh" if asked == "zh" else "en"
    for item in accept_language.lower().split(","):
        tag = item.partition(";")[0].strip()
        if tag.startswith("zh"):
            return "zh"
        if tag.startswith("en"):
            return "en"
    return "en"
