"""The directory of authorities: who a recipient role is at a place, and how to reach it."""

from playbooks.directory.authority import Authority, Portal
from playbooks.directory.directory import Directory, DirectoryCoverage, coverage, load_directory
from playbooks.directory.places import place_of, role_of

__all__ = [
    "Authority",
    "Directory",
    "DirectoryCoverage",
    "Portal",
    "coverage",
    "load_directory",
    "place_of",
    "role_of",
]
