"""Measurements. Each compares two things in one run: ours and the bare library."""
