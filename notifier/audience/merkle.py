"""The Merkle tree over an audience, hashed as RFC 6962 section 2.1 says. Pure, and in memory that does not grow.

The root names exactly these recipients in this order, and a path of some twenty hashes shows of one recipient that
they are among millions, without the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root over leaf hashes."""
    tree = Tree()
    for leaf in leaves:
        tree.add(leaf)
    return tree.root()


def root_by_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """The root that a leaf's path leads to (RFC 9162 section 2.1.3.2); None when the path has the wrong length.
    `index` counts from 0."""
    if not 0 <= index < size:
        return None
    first, second, found = index, size - 1, leaf
    for sibling in path:
        if second == 0:
            return None
        if first & 1 or first == second:
            found = node_hash(sibling, found)
            while not first & 1 and first:
                first, second = first >> 1, second >> 1
        else:
            found = node_hash(found, sibling)
        first, second = first >> 1, second >> 1
    return found if second == 0 else None
