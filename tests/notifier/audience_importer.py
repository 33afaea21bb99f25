"""A process that imports a file, to be killed: `python -m tests.notifier.audience_importer URL FILE COMMAND DIE_AT`.

Prints `rows <n>` after every batch that is in, and at the end what it peaked at in KiB. It kills itself with SIGKILL
as it reads row DIE_AT (0: never).
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from incidents.clock import SystemClock
from incidents.record import Context
from incidents.record.database import open_engine
from notifier.audience import AudienceFormat, Audiences, ImportLimits, RowChecker, importer, language_chooser
from notifier.audience.records import Record
from notifier.vault import Vault
from tests.notifier.house import KEYS


def main(url: str, path: str, command: str, die_at: int) -> None:
    """Import, or die."""
    real, clock, engine = importer.read_records, SystemClock(), open_engine(url)

    def mortal(*given: object) -> Iterator[Record]:
        for record in real(*given):  # type: ignore[arg-type]
            if record.row == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            yield record

    importer.read_records = mortal  # type: ignore[assignment]
    checker = RowChecker(language_chooser(("en", "zh-Hans", "vi"), {}, "en"))
    audiences = Audiences(engine, Vault(engine, KEYS, clock), clock, checker, ImportLimits(max_rows=1_000_000))
    with Path(path).open("rb") as source:
        audiences.import_file(
            source,
            Context.of_command("user:lan", clock, command_id=UUID(command)),
            AudienceFormat.of_name(path),
            accept_valid=True,
            progress=lambda rows: print(
                f"rows {rows} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}", flush=True
            ),
        )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
