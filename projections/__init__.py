"""What is true now: read models built from the record, dropped and rebuilt at will."""
