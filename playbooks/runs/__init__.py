"""Runs: a playbook being executed, step by step, for one incident."""
