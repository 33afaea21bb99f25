"""Alerts in from Kafka: batches, each recorded in one transaction with how far its partitions have been read."""
