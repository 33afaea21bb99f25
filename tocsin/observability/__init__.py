"""Logs and metrics. Nothing personal of an affected person is in either."""
