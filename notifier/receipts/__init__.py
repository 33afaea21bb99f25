"""Receipts: what a provider later reports of a delivery, believed only when it proves who it is."""
