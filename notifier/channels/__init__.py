"""Channels: the adapters that carry a delivery out of the house."""
