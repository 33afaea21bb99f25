"""Telling people: audience and vault, templates, campaigns, channels, deliveries and receipts."""
