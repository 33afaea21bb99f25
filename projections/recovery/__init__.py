"""How far the handling of each incident is, and how long its phases took."""
