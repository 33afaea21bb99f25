"""The incident aggregate, its events and its lifecycle."""
