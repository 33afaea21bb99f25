"""The register of contract parties, upstream and downstream, and their confirmed contacts."""
