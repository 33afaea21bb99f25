"""What happened in an incident, event by event, in words."""
