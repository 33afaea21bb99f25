"""``python -m notifier.standins``: the stand-ins in a process of their own."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
from pathlib import Path
from typing import Annotated

import typer

from notifier.standins.bounces import smtp_bounce_sink
from notifier.standins.outbox_store import OutboxStore
from notifier.standins.runner import DEFAULT_ACCOUNT, Standins, StandinSettings


def main(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the Twilio stand-in and the outbox page; 0: any.")] = 4010,
    smtp_port: Annotated[int, typer.Option(help="Port of the SMTP stand-in; 0: any.")] = 4025,
    store: Annotated[Path | None, typer.Option(help="File that keeps the outbox; without it, memory.")] = None,
    account_sid: Annotated[str, typer.Option(envvar="TOCSIN_STANDIN_ACCOUNT_SID")] = DEFAULT_ACCOUNT,
    auth_token: Annotated[
        str | None, typer.Option(envvar="TOCSIN_STANDIN_AUTH_TOKEN", help="Better given by the environment.")
    ] = None,
    step_delay: Annotated[float, typer.Option(help="Seconds before each state of an SMS.")] = 0.2,
    slow_seconds: Annotated[float, typer.Option(help="Seconds the slow addresses wait.")] = 20.0,
    bounce_to: Annotated[str | None, typer.Option(help="HOST:PORT of an SMTP server for bounces.")] = None,
) -> None:
    """Serve a Twilio stand-in, an SMTP stand-in and the outbox page until stopped.

    Prints one line of JSON with the addresses once everything answers.
    """
    sink = None
    if bounce_to is not None:
        bounce_host, _, bounce_port = bounce_to.rpartition(":")
        if not bounce_host or not bounce_port.isdigit():
            raise typer.BadParameter("give HOST:PORT, for example 127.0.0.1:2525", param_hint="--bounce-to")
        sink = smtp_bounce_sink(bounce_host, int(bounce_port))
    settings = StandinSettings(
        host=host,
        twilio_port=port,
        smtp_port=smtp_port,
        account_sid=account_sid,
        auth_token=auth_token or secrets.token_hex(16),
        step_delay=step_delay,
        slow_seconds=slow_seconds,
    )
    outbox = OutboxStore(store)
    try:
        asyncio.run(_serve(Standins(outbox, settings, bounce_sink=sink), show_token=auth_token is None))
    except OSError as error:
        typer.echo(f"Cannot listen on {host} (ports {port}, {smtp_port}): {error}. Choose other ports.", err=True)
        raise typer.Exit(1) from None
    finally:
        outbox.close()


async def _serve(standins: Standins, *, show_token: bool) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with standins:
        addresses = {
            "twilio_url": standins.twilio_url,
            "outbox_url": standins.outbox_url,
            "smtp_host": standins.smtp_host,
            "smtp_port": standins.smtp_port,
            "account_sid": standins.settings.account_sid,
        }
        if show_token:  # made up for this run: its only way to the user
            addresses["auth_token"] = standins.settings.auth_token
        typer.echo(json.dumps(addresses))
        await stopped.wait()


if __name__ == "__main__":
    typer.run(main)
