"""API keys: made, checked, listed, revoked. The secret is shown once and never stored.

A key reads `tocsin_<id>_<secret>`: 40 random bits to find it by, 256 to prove it. A digest is enough for a secret
of that size (no dictionary holds it), and it is compared in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine, insert, select, update
from sqlalchemy.exc import IntegrityError

from incidents.clock import Clock
from incidents.errors import Conflict, InvalidInput, NotAuthenticated, NotFound
from incidents.record.database import reading, writing
from tocsin.access.roles import Permission, Role, permissions_of
from tocsin.access.tables import api_keys

_SHAPE = re.compile(r"^tocsin_([0-9a-f]{10})_([A-Za-z0-9_-]{43})$")
_ID_LENGTH = 10
"""Hexadecimal digits of a key's id."""
_NAME = re.compile(r"^[a-z0-9][a-z0-9._-]{0,63}$")


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a key stands for."""

    key_id: str
    name: str
    roles: frozenset[Role]

    @property
    def actor(self) -> str:
        """How events name this principal."""
        return f"{'siem' if self.roles == {Role.SIEM} else 'user'}:{self.name}"

    def may(self, permission: Permission) -> bool:
        return permission in permissions_of(self.roles)


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What may be shown of a key."""

    key_id: str
    name: str
    roles: tuple[str, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None


class Keys:
    """The keys of one installation."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def create(
        self, name: str, roles: Iterable[str], *, created_by: str, expires_at: datetime | None = None
    ) -> tuple[KeyInfo, str]:
        """Make a key. Returns what may be shown and, this once, the key itself. InvalidInput for a name in use."""
        info, text = self.create_once(uuid4(), name, roles, created_by=created_by, expires_at=expires_at)
        if text is None:
            raise Conflict("Another key has this key's id. Make it again.")
        return info, text

    def create_once(
        self,
        command_id: UUID,
        name: str,
        roles: Iterable[str],
        *,
        created_by: str,
        expires_at: datetime | None = None,
    ) -> tuple[KeyInfo, str | None]:
        """The same for a command that may come in again, even at the same moment: the key's id is made from the
        command's, so that a repeat finds the key it made, without its secret (None). InvalidInput for a name in use.
        """
        if not _NAME.match(name):
            raise InvalidInput("A key's name is 1-64 of a-z, 0-9, dot, dash, underscore.", field="name")
        granted = _parse_roles(roles)
        key_id, secret = command_id.hex[:_ID_LENGTH], secrets.token_urlsafe(32)
        made = self._made(key_id, name)
        if made is not None:
            return made, None
        now = self._clock.now()
        if expires_at is not None and expires_at <= now:
            raise InvalidInput("The key would be expired from the start.", field="expires_at")
        row = {
            "key_id": key_id,
            "name": name,
            "roles": ",".join(sorted(granted)),
            "secret_digest": _digest(secret),
            "created_at": now,
            "created_by": created_by,
            "expires_at": expires_at,
            "revoked_at": None,
        }
        try:
            with writing(self._engine) as connection:
                connection.execute(insert(api_keys).values(row))
        except IntegrityError as error:
            made = self._made(key_id, name)
            if made is not None:
                return made, None
            raise InvalidInput(f"There is a key called {name} already.", field="name") from error
        return KeyInfo(key_id, name, tuple(sorted(granted)), now, created_by, expires_at, None), (
            f"tocsin_{key_id}_{secret}"
        )

    def _made(self, key_id: str, name: str) -> KeyInfo | None:
        with reading(self._engine) as connection:
            row = connection.execute(
                select(api_keys).where(api_keys.c.key_id == key_id, api_keys.c.name == name)
            ).first()
        return None if row is None else _info(row)

    def check(self, text: str) -> Principal:
        """The principal of a key. NotAuthenticated for any wrong, expired or revoked one, without saying which part."""
        shape = _SHAPE.match(text)
        if shape is None:
            raise NotAuthenticated("This is not a Tocsin key. A key looks like tocsin_<id>_<secret>.")
        with reading(self._engine) as connection:
            row = connection.execute(select(api_keys).where(api_keys.c.key_id == shape[1])).first()
        expected = row.secret_digest if row is not None else bytes(32)
        genuine = hmac.compare_digest(expected, _digest(shape[2]))
        if row is None or not genuine:
            raise NotAuthenticated("The key is wrong.")
        return self._principal(row)

    def find(self, key_id: str) -> Principal:
        """The principal of a key that was checked before. NotAuthenticated when it was revoked or has expired since."""
        with reading(self._engine) as connection:
            row = connection.execute(select(api_keys).where(api_keys.c.key_id == key_id)).first()
        if row is None:
            raise NotAuthenticated("The key is gone.")
        return self._principal(row)

    def _principal(self, row: Any) -> Principal:
        if row.revoked_at is not None:
            raise NotAuthenticated(f"The key was revoked at {row.revoked_at.isoformat()}.")
        if row.expires_at is not None and row.expires_at <= self._clock.now():
            raise NotAuthenticated(f"The key expired at {row.expires_at.isoformat()}.")
        return Principal(row.key_id, row.name, frozenset(Role(role) for role in row.roles.split(",")))

    def revoke(self, key_id: str) -> None:
        """Revoke a key; a second time changes nothing. NotFound when there is none."""
        with writing(self._engine) as connection:
            found = connection.execute(
                update(api_keys)
                .where(api_keys.c.key_id == key_id, api_keys.c.revoked_at.is_(None))
                .values(revoked_at=self._clock.now())
            )
            known = connection.execute(select(api_keys.c.key_id).where(api_keys.c.key_id == key_id)).first()
        if not found.rowcount and known is None:
            raise NotFound(f"There is no key {key_id}.", field="key_id")

    def list(self) -> list[KeyInfo]:
        """All keys, oldest first."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(api_keys).order_by(api_keys.c.created_at)).all()
        return [_info(row) for row in rows]

    def is_empty(self) -> bool:
        """Whether no key was ever made (the first start makes one for the admin)."""
        with reading(self._engine) as connection:
            return connection.execute(select(api_keys.c.key_id).limit(1)).first() is None


def _info(row: Any) -> KeyInfo:
    return KeyInfo(
        row.key_id,
        row.name,
        tuple(row.roles.split(",")),
        row.created_at,
        row.created_by,
        row.expires_at,
        row.revoked_at,
    )


def _parse_roles(roles: Iterable[str]) -> frozenset[Role]:
    granted = set()
    for role in roles:
        try:
            granted.add(Role(role))
        except ValueError:
            raise InvalidInput(
                f"There is no role {role!r}; there are: {', '.join(sorted(Role))}.", field="roles"
            ) from None
    if not granted:
        raise InvalidInput("A key needs at least one role.", field="roles")
    return frozenset(granted)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
