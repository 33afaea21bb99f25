"""`tocsin init` and `tocsin config check`: from nothing to settings that are safe to serve with."""

from __future__ import annotations

import base64
import secrets
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from incidents.errors import InvalidInput
from tocsin.cli.loading import load_settings
from tocsin.cli.output import EXIT_FAULT, Json, one_line_errors, say

config = typer.Typer(help="Settings.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("init")(init)
    config.command("check")(check)
    config.command("dkim")(dkim)
    app.add_typer(config, name="config")


@one_line_errors
def init(
    folder: Annotated[Path, typer.Argument(help="Where to write the files.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Write over files that are there.")] = False,
    as_json: Json = False,
) -> None:
    """Write commented settings, an organisation profile to fill in, and a fresh master key."""
    from tocsin.settings import DEFAULT_FILE

    templates = files("tocsin.templates")
    key = folder / "secrets" / "master.keys"
    wanted = {
        folder / DEFAULT_FILE: templates.joinpath("tocsin.toml").read_text("utf-8"),
        folder / "organisation.toml": templates.joinpath("organisation.toml").read_text("utf-8"),
    }
    present = [path for path in (*wanted, key) if path.exists()]
    if present and not force:
        raise InvalidInput(f"{', '.join(map(str, present))} exist already; --force writes over them.", field="folder")
    if key.exists():
        raise InvalidInput(
            f"{key} exists. A new key would make everything in the vault unreadable; move it away yourself.",
            field="folder",
        )
    folder.mkdir(parents=True, exist_ok=True)
    key.parent.mkdir(mode=0o700, exist_ok=True)
    key.touch(mode=0o600)
    key.write_text(f"k1:{base64.b64encode(secrets.token_bytes(32)).decode()}\n", "utf-8")
    for path, text in wanted.items():
        path.write_text(text, "utf-8")
    written = [str(path) for path in (*wanted, key)]
    if as_json:
        say({"written": written})
        return
    for name in written:
        typer.echo(f"wrote {name}")
    typer.echo(
        "Next: fill in the organisation and a channel, then `tocsin config check`. Keep a copy of the key apart."
    )


def _law_faults(folder: Path | None) -> list[dict[str, str]]:
    """What would stop the start: faulty law packs of one's own, each with file and line."""
    from playbooks.law.law import load_law

    try:
        load_law(*([folder] if folder is not None else ()))
    except InvalidInput as error:
        return [{"field": fault.field, "reason": fault.reason} for fault in error.errors] or [
            {"field": "law_folder", "reason": error.detail}
        ]
    return []


@one_line_errors
def dkim(as_json: Json = False) -> None:
    """The DNS records to publish, so that receivers can check the signatures of outgoing mail."""
    keys = load_settings().dkim.keys()
    if not keys:
        raise InvalidInput("Mail is not signed: set `dkim.domain`, `dkim.selector` and `dkim.key_file`.", field="dkim")
    if as_json:
        say([{"name": key.dns_name, "type": "TXT", "value": key.dns_record} for key in keys])
        return
    for key in keys:
        typer.echo(f'{key.dns_name}. TXT "{key.dns_record}"')


@one_line_errors
def check(as_json: Json = False) -> None:
    """Say whether the settings are complete and safe. Exit code 0 when they are."""
    from incidents.facts import OrganisationProfile
    from tocsin.settings import faults

    settings = load_settings()
    found = [{"field": fault.field, "reason": fault.reason} for fault in faults(settings)]
    try:
        profile = OrganisationProfile.from_toml(settings.organisation_file.read_text("utf-8"))
    except OSError as error:
        found.append({"field": "organisation_file", "reason": f"{settings.organisation_file}: {error.strerror}"})
    except InvalidInput as error:
        found += [{"field": f"organisation.{f.field}", "reason": f.reason} for f in error.errors]
    else:
        if profile.incident_contact is None and profile.dpo is None:
            found.append({"field": "organisation.incident_contact", "reason": "notices must name a contact"})
    found += _law_faults(settings.law_folder)
    if as_json:
        say({"ok": not found, "faults": found})
    else:
        for fault in found:
            typer.echo(f"{fault['field']}: {fault['reason']}")
        typer.echo("The settings are safe to serve with." if not found else f"{len(found)} to mend.")
    if found:
        raise typer.Exit(EXIT_FAULT)
