"""The register of contract parties as a list."""
