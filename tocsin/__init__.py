"""The front door: settings, command line, HTTP API, pages, workers and the wiring of the rooms."""
