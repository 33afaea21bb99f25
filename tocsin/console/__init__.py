"""The console: pages for people, made on the server, readable without scripts."""
