"""Settings of the rows of sending: `[deliveries]`."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from tocsin.settings_section import Section


class DeliverySettings(Section):
    """Where the rows of campaigns lie, and how long they stay. What they say is in the record and stays there."""

    partition_from: int = Field(
        1_000_000,
        ge=0,
        description="Recipients from which on a campaign gets partitions of its own on PostgreSQL; 0: none does.",
    )
    keep_days: int = Field(
        0,
        ge=0,
        le=36_500,
        description="Days after the end of a campaign until its rows are removed; 0: they stay until "
        "`tocsin deliveries remove`. Without them nobody is found by the reference in a notice.",
    )
    export_first: bool = Field(
        True, description="Remove no rows that `tocsin deliveries export` did not write to a file before."
    )

    @property
    def keep(self) -> timedelta | None:
        """The same as a time; None: for ever."""
        return timedelta(days=self.keep_days) if self.keep_days else None
