"""What waits for people, and the runs it belongs to."""
