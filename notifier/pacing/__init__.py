"""How fast a provider may be handed messages, when it is left alone, and when people are not to be disturbed."""
