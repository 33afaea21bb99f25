"""Email at full speed: the phase of every message is known, whatever the server does and whenever it does it."""

from __future__ import annotations

import asyncio
import email
import email.policy
import socket
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from incidents.clock import ManualClock
from notifier.channels import email_stream
from notifier.channels.channel import Outgoing
from notifier.channels.email import EmailChannel, EmailSettings
from notifier.channels.outcome import Outcome, Verdict, outcome_table
from notifier.channels.personal import EmailWords, PersonalEmail
from notifier.channels.smtp_session import Letter, SessionLimits, SmtpSession
from notifier.channels.stream import Parcel
from notifier.templates import RenderedEmail
from tests.conftest import NIGHT
from tests.notifier.house import ANSWERS, PATIENCE
from tests.notifier.smtp_sinks import Script, smtp_sink, usually
from tests.ports import free_port

WORDS = EmailWords(
    "海港诊所：安全事件告知",
    (("Dear ", "name"), (",\n\n.a line that starts with a full stop\nReference ", "reference"), ("\n", None)),
    (("<p>Dear ", "name"), (", reference <b>", "reference"), ("</b></p>\n", None)),
)
A, T, R, U, F = (
    Verdict.ACCEPTED,
    Verdict.TEMPORARY,
    Verdict.REJECTED,
    Verdict.AMBIGUOUS,
    Verdict.CAMPAIGN_FAULT,
)


def parcel(address: str) -> Parcel:
    content = PersonalEmail(WORDS, "Zhāng & <Söhne>", "01234-ABCDE")
    return Parcel(Outgoing(uuid4(), UUID(int=9), uuid4(), address, content, "en", "01234-ABCDE"), place=None)


class Pile:
    """A stream of given messages that closes when each has an outcome, or after so many were given back."""

    def __init__(self, parcels: list[Parcel], *, returns: int = 0) -> None:
        self._waiting = deque(parcels)
        self._left = len(parcels)
        self._returns = returns
        self._parked: list[Callable[[], None]] = []
        self.closed = not parcels
        self.outcomes: dict[str, Outcome] = {}
        self.returned: Counter[str] = Counter()
        self.broken: list[str] = []
        self.ours = True

    def take(self) -> Parcel | None:
        return self._waiting.popleft() if self._waiting and not self.closed else None

    def park(self, wake: Callable[[], None]) -> None:
        self._parked.append(wake)
        if self.closed:
            self._wake()

    def give_back(self, one: Parcel, *, counted: bool = False, failure: Outcome | None = None) -> None:
        assert not one.written, "what was written cannot be untried"
        self.returned[one.message.address] += 1
        if sum(self.returned.values()) >= self._returns > 0:
            self.close()
        self._waiting.append(one)
        self._wake()

    def settle(self, one: Parcel, outcome: Outcome) -> None:
        assert one.message.address not in self.outcomes, "settled once"
        self.outcomes[one.message.address] = outcome
        self._left -= 1
        if not self._left:
            self.close()

    def broke(self, one: Parcel, error: Exception) -> None:
        self.broken.append(type(error).__name__)
        self.settle(one, Outcome(Verdict.AMBIGUOUS if one.written else Verdict.TEMPORARY))

    def still_ours(self, _one: Parcel) -> bool:
        return self.ours

    def close(self) -> None:
        self.closed = True
        self._wake()

    def verdicts(self) -> Counter[Verdict]:
        return Counter(outcome.verdict for outcome in self.outcomes.values())

    def _wake(self) -> None:
        parked, self._parked = self._parked, []
        for wake in parked:
            wake()


def channel(port: int, **changes: Any) -> EmailChannel:
    known: dict[str, Any] = {"security": "plain", "connections": 2, "timeout": ANSWERS, "content_timeout": ANSWERS}
    settings = EmailSettings("127.0.0.1", port, "notice@harbour.example", "Harbour", **{**known, **changes})
    return EmailChannel(settings, ManualClock(NIGHT))


def addresses(count: int) -> list[str]:
    return [f"p{n}@example.com" for n in range(count)]


async def until(reached: Callable[[], bool]) -> None:
    while not reached():  # noqa: ASYNC110 - what is waited for happens in a server that knows of no event
        await asyncio.sleep(0.01)


def streamed(port: int, pile: Pile, seconds: float = PATIENCE, **changes: Any) -> Pile:
    async def live() -> None:
        async with asyncio.timeout(seconds):
            await channel(port, **changes).send_stream(pile)

    asyncio.run(live())
    return pile


class Unmakeable:
    """No message can be made a letter."""

    def letter(self, _parcel: Parcel) -> Letter | Outcome:
        return Outcome(Verdict.CAMPAIGN_FAULT, "no-notice")


def test_thousands_that_cannot_be_made_do_not_fill_the_stack() -> None:
    pile = Pile([parcel(address) for address in addresses(5_000)])

    async def live() -> None:
        left, right = socket.socketpair()
        limits = SessionLimits(timeout=ANSWERS, content_timeout=ANSWERS, max_idle=ANSWERS, max_messages=10)
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=left)
        session = SmtpSession(transport, pile, Unmakeable(), limits, outcome_table(), pipelining=True)
        first = pile.take()
        assert first is not None
        session.start(first)
        async with asyncio.timeout(PATIENCE):
            assert await session.closed == "renewed"
        right.close()

    asyncio.run(live())
    assert pile.verdicts() == {F: 5_000}


def test_a_server_that_is_away_for_days_is_still_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses double; after a thousand of them a plain power of two is more than a float can hold."""
    asked, pile = [0], Pile([parcel("a@example.com")])

    async def no_pause(_stream: Any, seconds: float) -> None:
        assert seconds <= email_stream.MOST_PAUSE

    async def refuse() -> Any:
        asked[0] += 1
        if asked[0] > 2_500:
            pile.close()
        raise email_stream.ConnectFailed(Outcome(Verdict.TEMPORARY, "ConnectionRefusedError"))

    monkeypatch.setattr(email_stream, "_pause", no_pause)
    one = channel(9, connections=1)
    serving = email_stream.EmailStream(one._settings, refuse, ManualClock(NIGHT), "harbour.example", outcome_table())

    async def live() -> None:
        async with asyncio.timeout(PATIENCE):
            await serving.run(pile)

    asyncio.run(live())
    assert asked[0] > 2_500


def scripted(script: Script, story: Callable[[Script], Awaitable[Pile]]) -> Pile:
    async def live() -> Pile:
        async with script, asyncio.timeout(PATIENCE):
            return await story(script)

    return asyncio.run(live())


def sent(script: Script, to: list[str], *, returns: int = 0, **changes: Any) -> Pile:
    """Send to these over a script."""

    async def story(running: Script) -> Pile:
        pile = Pile([parcel(address) for address in to], returns=returns)
        await channel(running.port, connections=1, **changes).send_stream(pile)
        return pile

    return scripted(script, story)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [(), ("-p",), ("-N",), ("-8",)], ids=["all", "no pipelining", "no DSN", "no 8BITMIME"]
)
def test_everybody_gets_one_mail(options: tuple[str, ...]) -> None:
    with smtp_sink(*options) as port:
        pile = streamed(port, Pile([parcel(address) for address in addresses(300)]), connections=5)
    assert pile.verdicts() == {A: 300}
    assert not pile.returned


@pytest.mark.slow
@pytest.mark.parametrize("pipelining", [(), ("-p",)], ids=["pipelined", "one by one"])
@pytest.mark.parametrize(
    ("options", "verdict"),
    [
        (("-q", "RCPT"), T),  # cut without a word: nothing was written
        (("-q", "DATA"), T),
        (("-q", "."), U),  # cut after the final dot: nobody can tell
        (("-Q", "RCPT"), T),  # 421 and cut
        (("-Q", "DATA"), T),
        (("-Q", "."), T),  # 421 in answer to the dot: not taken
        (("-r", "RCPT"), T),
        (("-r", "DATA"), T),
        (("-r", "."), T),
        (("-f", "RCPT"), R),
        (("-f", "DATA"), R),
        (("-f", "."), R),
        (("-f", "MAIL"), F),  # our sender is refused: not the recipients' fault
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_faults_on_the_wire(options: tuple[str, ...], pipelining: tuple[str, ...], verdict: Verdict) -> None:
    with smtp_sink(*options, *pipelining) as port:
        pile = streamed(port, Pile([parcel(address) for address in addresses(4)]))
    assert pile.verdicts() == {verdict: 4}
    assert not any("@" in (outcome.code or "") for outcome in pile.outcomes.values())


@pytest.mark.slow
@pytest.mark.parametrize(("step", "verdict"), [(".", U), ("RCPT", T)])
def test_a_sink_that_never_answers(step: str, verdict: Verdict) -> None:
    # One by one only: told to be slow, this program answers commands that came later first.
    with smtp_sink("-p", "-W", f"{step}:1000") as port:
        # Little time for the step that is never answered; of the others RCPT has no time of its own.
        little = {"content_timeout": 0.3} if step == "." else {"timeout": 2.0}
        pile = streamed(port, Pile([parcel(address) for address in addresses(4)]), **little)
    assert pile.verdicts() == {verdict: 4}


def test_a_server_that_never_answers_the_final_dot() -> None:
    def reply(command: str, recipient: str) -> str | None:
        return None if command == "." and recipient == "p1@example.com" else usually()(command, recipient)

    pile = sent(Script(reply), addresses(4), content_timeout=2.0)
    verdicts = [pile.outcomes[address].verdict for address in addresses(4)]
    assert verdicts == [A, U, A, A], "it is given up after its time, and the others go on"
    assert pile.outcomes["p1@example.com"].code == "content:timeout"


@pytest.mark.slow
@pytest.mark.parametrize("option", ["-q", "-Q", "-r"])
def test_a_server_that_will_not_hear_of_us_costs_nobody_a_try(option: str) -> None:
    with smtp_sink(option, "MAIL") as port:
        pile = streamed(port, Pile([parcel(address) for address in addresses(3)], returns=6))
    assert pile.outcomes == {}


def test_nobody_listens_and_nobody_fails(unused_tcp_port: int) -> None:
    pile = streamed(unused_tcp_port, Pile([parcel(address) for address in addresses(3)], returns=4))
    assert pile.outcomes == {}
    assert sum(pile.returned.values()) >= 4


def test_a_host_that_can_be_none_loses_nobody() -> None:
    """No error of a network or a server: the name cannot even be asked for."""
    settings = EmailSettings("x" * 70 + ".example", 25, "notice@harbour.example", "Harbour", "plain", connections=2)
    pile = Pile([parcel(address) for address in addresses(3)], returns=4)

    async def live() -> None:
        async with asyncio.timeout(PATIENCE):
            await EmailChannel(settings, ManualClock(NIGHT)).send_stream(pile)

    asyncio.run(live())
    assert pile.outcomes == {}
    assert sum(pile.returned.values()) >= 4


@pytest.fixture
def unused_tcp_port() -> int:
    return free_port()


def test_the_next_envelope_rides_behind_the_final_dot() -> None:
    script = Script(usually())
    pile = sent(script, addresses(3))
    assert pile.verdicts() == {A: 3}
    commands = [line.split(" ")[0] for line in script.said]
    assert commands == ["MAIL", "RCPT", "DATA", "."] * 3 + ["QUIT"]
    assert script.connections == 1


def test_a_refused_recipient_does_not_touch_the_others() -> None:
    def reply(command: str, recipient: str) -> str | None:
        if command in {"RCPT", "DATA"} and recipient == "p1@example.com":
            return "550 5.1.1 no such user" if command == "RCPT" else "503 5.5.1 no valid recipients"
        return usually()(command, recipient)

    script = Script(reply)
    pile = sent(script, addresses(4))
    assert {address: outcome.verdict for address, outcome in pile.outcomes.items()} == {
        "p0@example.com": A,
        "p1@example.com": R,
        "p2@example.com": A,
        "p3@example.com": A,
    }
    assert pile.outcomes["p1@example.com"].code == "550 5.1.1"
    assert "RSET" in script.said
    assert len(script.contents) == 3


def test_a_server_that_says_go_on_to_nobody_gets_nothing() -> None:
    """RFC 2920 section 3.1: DATA may be answered 354 although every recipient was refused."""
    replies = usually(RCPT="550 5.1.1 no", dot="554 5.5.1 no valid recipients")
    script = Script(replies)
    pile = sent(script, addresses(2))
    assert pile.verdicts() == {R: 2}
    assert script.contents == [b"", b""], "no word of the notice"


def test_cut_while_one_content_is_unanswered_and_the_next_envelope_rides() -> None:
    def reply(command: str, recipient: str) -> str | None:
        if command == "." and recipient == "p1@example.com":
            raise ConnectionError
        return usually()(command, recipient)

    script = Script(reply)
    pile = sent(script, addresses(4))
    verdicts = {address: outcome.verdict for address, outcome in pile.outcomes.items()}
    assert verdicts == {"p0@example.com": A, "p1@example.com": U, "p2@example.com": A, "p3@example.com": A}
    assert pile.returned == {"p2@example.com": 1}, "it was riding: not a word of it was written"
    assert script.connections == 2


def test_a_lost_lease_writes_nothing() -> None:
    script = Script(usually())

    async def story(running: Script) -> Pile:
        pile = Pile([parcel("p0@example.com")], returns=1)
        pile.ours = False
        await channel(running.port, connections=1).send_stream(pile)
        return pile

    pile = scripted(script, story)
    assert pile.outcomes == {}
    assert script.contents == []


def test_stopping_in_the_middle_settles_what_was_written_and_gives_back_the_rest() -> None:
    script = Script(usually(dot=None))

    async def story(running: Script) -> Pile:
        pile = Pile([parcel(address) for address in addresses(3)], returns=10)
        task = asyncio.create_task(channel(running.port, connections=1, content_timeout=ANSWERS).send_stream(pile))
        await until(lambda: bool(script.contents))
        pile.closed = True
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return pile

    pile = scripted(script, story)
    assert {address: outcome.verdict for address, outcome in pile.outcomes.items()} == {"p0@example.com": U}
    assert pile.returned == {"p1@example.com": 1}


def test_a_connection_is_renewed_after_so_many_and_hung_up_when_idle() -> None:
    script = Script(usually())
    pile = sent(script, addresses(7), max_messages=3)
    assert pile.verdicts() == {A: 7}
    assert script.connections == 3

    idle = Script(usually())

    async def story(running: Script) -> Pile:
        waiting = Pile([parcel("a@example.com"), parcel("b@example.com")])
        late = waiting._waiting.pop()
        task = asyncio.create_task(channel(running.port, connections=1, max_idle=0.05).send_stream(waiting))
        await until(lambda: "QUIT" in idle.said)
        waiting._waiting.append(late)
        waiting._wake()
        await task
        return waiting

    assert scripted(idle, story).verdicts() == {A: 2}
    assert idle.connections == 2


@pytest.mark.parametrize("answer", ["nonsense", "2" * 40_000], ids=["no number", "no end"])
def test_a_server_that_talks_nonsense(answer: str) -> None:
    pile = sent(Script(usually(dot=answer)), addresses(1), content_timeout=1.0)
    assert pile.verdicts() == {U: 1}


def test_an_address_no_server_could_carry_is_refused_here() -> None:
    script = Script(usually())
    bad = [
        "a b@example.com",
        "a@example.com>\r\nRCPT TO:<b@example.com",
        "ä@example.com",
        "a@",
        "x" * 70 + "@example.com",
    ]
    pile = sent(script, [*bad, "fine@example.com", "idn@bücher.example"])
    assert {pile.outcomes[address].verdict for address in bad} == {R}
    assert pile.outcomes["idn@bücher.example"].verdict is A
    recipients = [line for line in script.said if line.startswith("RCPT")]
    assert [line.partition(" NOTIFY")[0] for line in recipients] == [
        "RCPT TO:<fine@example.com>",
        "RCPT TO:<idn@xn--bcher-kva.example>",
    ]


def test_the_server_is_asked_for_reports_of_failure_where_it_offers_them() -> None:
    script = Script(usually())
    sent(script, ["a+b=c@example.com"])
    assert script.said[0].startswith("MAIL FROM:<notice@harbour.example> RET=HDRS ENVID=")
    assert script.said[1] == "RCPT TO:<a+b=c@example.com> NOTIFY=FAILURE,DELAY ORCPT=rfc822;a+2Bb+3Dc@example.com"
    plain = Script(usually(), pipelining=False)
    sent(plain, ["a@example.com"])
    assert plain.said[:2] == ["MAIL FROM:<notice@harbour.example>", "RCPT TO:<a@example.com>"]


def test_what_arrives_is_what_was_to_be_said() -> None:
    script = Script(usually())
    one = parcel("a@example.com")
    whole = parcel("b@example.com")
    whole.message = Outgoing(
        uuid4(), UUID(int=9), uuid4(), "b@example.com", RenderedEmail(subject="s", text=".dot\n", html="<p>"), "en", "x"
    )

    async def story(running: Script) -> Pile:
        pile = Pile([one, whole])
        await channel(running.port, connections=1).send_stream(pile)
        return pile

    scripted(script, story)
    first, second = (email.message_from_bytes(content, policy=email.policy.default) for content in script.contents)
    assert first["Message-ID"] == f"<{one.message.message_key.hex}@harbour.example>"
    assert (first["To"], first["Subject"], first["Auto-Submitted"]) == (
        "a@example.com",
        WORDS.subject,
        "auto-generated",
    )
    text, html = (part.get_content() for part in first.iter_parts())  # type: ignore[attr-defined]
    assert text == "Dear Zhāng & <Söhne>,\n\n.a line that starts with a full stop\nReference 01234-ABCDE\n"
    assert html == "<p>Dear Zhāng &amp; &lt;Söhne&gt;, reference <b>01234-ABCDE</b></p>\n"
    assert [part.get_content() for part in second.iter_parts()] == [".dot\n", "<p>"]  # type: ignore[attr-defined]


def test_many_temporary_refusals_slow_a_connection_down() -> None:
    script = Script(usually(RCPT="454 4.7.0 throttling"))

    async def story(running: Script) -> Pile:
        pile = Pile([parcel(address) for address in addresses(200)])
        task = asyncio.create_task(channel(running.port, connections=1).send_stream(pile))
        await until(lambda: len(pile.outcomes) >= 4)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return pile

    pile = scripted(script, story)
    assert len(pile.outcomes) < 10, "the other hundreds were spared"
    assert set(pile.verdicts()) == {T}
