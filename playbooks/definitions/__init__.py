"""Playbooks as data: their schema, their loader, and the library that ships with Tocsin."""
