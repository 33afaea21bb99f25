"""Who may come in: API keys and roles."""
