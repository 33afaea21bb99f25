"""The alerts that came in, and where they went."""
