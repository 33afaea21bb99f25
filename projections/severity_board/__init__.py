"""What is going on: one entry per incident, the next deadline first."""
