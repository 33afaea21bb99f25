"""What open incidents were derived from may change without an event of theirs: law, organisation, assets."""
