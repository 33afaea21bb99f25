"""The Merkle tree over an audience, hashed as RFC 6962 section 2.1 says. Pure, and in memory that does not grow.

The root names exactly these recipients in this order. A path of some twenty hashes shows of one of them, without the
others, that they are in it.
"""

from __future__ import annotations

from hashlib import sha256

EMPTY = sha256(b"").digest()
"""The root over nobody."""


def leaf_hash(data: bytes) -> bytes:
    """SHA-256 of a leaf: 0x00 before the data, so that no leaf can pass for a node."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256 of a node over two hashes of 32 bytes."""
    return sha256(b"\x01" + left + right).digest()


class Tree:
    """A tree that takes leaf hashes one by one and keeps one hash for each level."""

    def __init__(self) -> None:
        self.size = 0
        self._full: list[bytes] = []
        """Roots of the complete subtrees, the largest first: one for each bit set in `size`."""

    def add(self, leaf: bytes) -> None:
        """Take the next leaf hash."""
        carried, bits = leaf, self.size
        while bits & 1:
            carried = node_hash(self._full.pop(), carried)
            bits >>= 1
        self._full.append(carried)
        self.size += 1

    def root(self) -> bytes:
        """The root over what was added so far."""
        if not self._full:
            return EMPTY
        joined = self._full[-1]
        for left in reversed(self._full[:-1]):
            joined = node_hash(left, joined)
        return joined
