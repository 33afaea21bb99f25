"""The asset register as a list."""
