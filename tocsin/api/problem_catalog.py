"""Every kind of problem the door answers with: its status, and what it means for the person who meets it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from incidents.errors import (
    Conflict,
    Forbidden,
    IllegalTransition,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    TocsinError,
    TooLarge,
)


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """One kind of problem. `code` ends its type URI (`/problems/<code>`)."""

    code: str
    status: int
    title: str
    meaning: str
    title_zh: str
    meaning_zh: str


_KINDS = (
    ProblemKind(
        "malformed-request",
        400,
        "Malformed request",
        "The request could not be read: the body is not JSON, nests too deep, or a header has a wrong form. Nothing was changed.",
        "请求格式错误",
        "无法读取该请求：正文不是 JSON、嵌套过深，或请求头格式有误。未作任何更改。",
    ),
    ProblemKind(
        "not-authenticated",
        401,
        "Not authenticated",
        "Send a key as `Authorization: Bearer tocsin_...`. The key sent is missing, wrong, expired or revoked.",
        "未通过身份验证",
        "请以 `Authorization: Bearer tocsin_...` 发送密钥。密钥缺失、错误、已过期或已吊销。",
    ),
    ProblemKind(
        "forbidden",
        403,
        "Not allowed",
        "The key is good, but its roles do not allow this, or a rule of two persons forbids it (an author cannot approve).",
        "不允许",
        "密钥有效，但其角色不允许此操作，或违反双人原则（起草人不能审批）。",
    ),
    ProblemKind(
        "not-found",
        404,
        "Not found",
        "Nothing is at this address, or the thing it names does not exist.",
        "未找到",
        "该地址没有内容，或所指的对象不存在。",
    ),
    ProblemKind(
        "method-not-allowed",
        405,
        "Method not allowed",
        "This address does not know that method. The `Allow` header lists those it knows.",
        "不支持该方法",
        "该地址不支持此方法。`Allow` 响应头列出可用的方法。",
    ),
    ProblemKind(
        "request-timeout",
        408,
        "The request came too slowly",
        "The body did not arrive in time. Nothing was changed; send it again.",
        "请求过慢",
        "正文未能及时送达。未作任何更改，请重新发送。",
    ),
    ProblemKind(
        "conflict",
        409,
        "Changed by somebody else",
        "Somebody else was first, or an Idempotency-Key was used for two different requests. Load the thing again and repeat the command with a new key.",
        "已被他人更改",
        "他人先行更改，或同一 Idempotency-Key 被用于两个不同的请求。请重新读取后，使用新的键重发命令。",
    ),
    ProblemKind(
        "illegal-transition",
        409,
        "Not possible in this state",
        "The state of the thing does not allow the command; the detail says which states would.",
        "当前状态不允许",
        "对象当前的状态不允许该命令；详情中列出允许的状态。",
    ),
    ProblemKind(
        "precondition-failed",
        412,
        "It has changed since you read it",
        "The version in `If-Match` is not the present one. Read the thing again, look at what changed, and decide anew.",
        "读取后已发生变化",
        "`If-Match` 中的版本不是当前版本。请重新读取，查看变化后再作决定。",
    ),
    ProblemKind(
        "too-large",
        413,
        "Too large",
        "The body is over the limit for this address. It was not read to its end.",
        "过大",
        "正文超过该地址的上限，未被读完。",
    ),
    ProblemKind(
        "uri-too-long",
        414,
        "The address is too long",
        "Addresses may have 4,096 characters.",
        "地址过长",
        "地址最多 4,096 个字符。",
    ),
    ProblemKind(
        "unsupported-media-type",
        415,
        "Unsupported media type",
        "Commands take `application/json`; an audience takes `text/csv` or `multipart/form-data`.",
        "不支持的媒体类型",
        "命令使用 `application/json`；受众使用 `text/csv` 或 `multipart/form-data`。",
    ),
    ProblemKind(
        "invalid-input",
        422,
        "Invalid input",
        "The request was read, but says something that cannot be. `errors` names each field and the reason. Nothing was changed.",
        "输入无效",
        "请求已读取，但内容不成立。`errors` 列出每个字段及原因。未作任何更改。",
    ),
    ProblemKind(
        "audience-refused",
        422,
        "The audience has faulty rows",
        "No row was imported. `errors` lists the faulty rows; correct them, or ask for the valid rows only (`accept_valid=true`).",
        "受众名单有错误行",
        "没有导入任何行。`errors` 列出错误行；请更正，或仅导入有效行（`accept_valid=true`）。",
    ),
    ProblemKind(
        "too-many-attempts",
        429,
        "Too many failed attempts",
        "Too many wrong keys came from this address. Wait as long as `Retry-After` says.",
        "失败次数过多",
        "来自该地址的错误密钥过多。请按 `Retry-After` 所示时间等待。",
    ),
    ProblemKind(
        "headers-too-large",
        431,
        "The headers are too large",
        "The request's headers are over 100 in number or 32 KiB in size.",
        "请求头过大",
        "请求头超过 100 个或 32 KiB。",
    ),
    ProblemKind(
        "internal",
        500,
        "Internal error",
        "Something went wrong inside. The log has the reason under the request's id; quote it when you ask for help.",
        "内部错误",
        "内部发生错误。日志中以请求编号记录了原因；求助时请提供该编号。",
    ),
    ProblemKind(
        "unavailable",
        503,
        "Not ready",
        "A part of the service is not ready. Try again in a while.",
        "尚未就绪",
        "服务的某一部分尚未就绪，请稍后再试。",
    ),
)

CATALOG: Mapping[str, ProblemKind] = MappingProxyType({kind.code: kind for kind in _KINDS})

_BY_CLASS: tuple[tuple[type[TocsinError], str], ...] = (
    (TooLarge, "too-large"),
    (InvalidInput, "invalid-input"),
    (NotFound, "not-found"),
    (IllegalTransition, "illegal-transition"),
    (Conflict, "conflict"),
    (NotAuthenticated, "not-authenticated"),
    (Forbidden, "forbidden"),
)
"""Most special first."""

_BY_STATUS = {
    400: "malformed-request",
    **{
        kind.status: kind.code
        for kind in _KINDS
        if kind.status in {401, 403, 404, 405, 408, 413, 414, 415, 429, 431, 503}
    },
}


def kind_of(error: TocsinError) -> ProblemKind:
    """The kind of problem an error is, by its own code if that has a page, else by its class."""
    own = CATALOG.get(error.code)
    if own is not None:
        return own
    return CATALOG[next((code for base, code in _BY_CLASS if isinstance(error, base)), "internal")]


def kind_of_status(status: int) -> ProblemKind:
    """The kind of problem of a bare HTTP status."""
    code = _BY_STATUS.get(status)
    if code is None:
        code = "invalid-input" if 400 <= status < 500 else "internal"
    return CATALOG[code]
