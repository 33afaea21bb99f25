"""Publishing the record to Kafka: events as CloudEvents, in order, each at least once."""
