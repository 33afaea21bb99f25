"""Who may do what: roles, and the permissions each one carries. Least privilege: a role has what it needs, no more."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """Roles of an API key. A key may carry several."""

    ADMIN = "admin"
    ANALYST = "analyst"
    APPROVER = "approver"
    AUDITOR = "auditor"
    PRIVACY = "privacy"
    SIEM = "siem"


class Permission(StrEnum):
    """What a request may need."""

    READ = "read"
    POST_ALERTS = "post-alerts"
    HANDLE_INCIDENTS = "handle-incidents"
    PREPARE_NOTICES = "prepare-notices"
    DECIDE_DUTIES = "decide-duties"
    APPROVE = "approve"
    MANAGE_KEYS = "manage-keys"
    ERASE_PEOPLE = "erase-people"
    READ_HISTORY = "read-history"


PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.SIEM: frozenset({Permission.POST_ALERTS}),
    Role.AUDITOR: frozenset({Permission.READ}),
    # What became of single people is for whoever answers to them, and for nobody else by the way.
    Role.PRIVACY: frozenset({Permission.READ, Permission.READ_HISTORY}),
    Role.ANALYST: frozenset(
        {Permission.READ, Permission.POST_ALERTS, Permission.HANDLE_INCIDENTS, Permission.PREPARE_NOTICES}
    ),
    Role.APPROVER: frozenset({Permission.READ, Permission.APPROVE, Permission.DECIDE_DUTIES}),
    # An admin manages keys and erases whoever asks for it. Handling and approving need their own roles, so that no
    # single key does everything.
    Role.ADMIN: frozenset({Permission.READ, Permission.MANAGE_KEYS, Permission.ERASE_PEOPLE}),
}


def permissions_of(roles: frozenset[Role]) -> frozenset[Permission]:
    """Everything these roles may do together."""
    return frozenset().union(*(PERMISSIONS[role] for role in roles)) if roles else frozenset()
