"""A sealed file: a header in the clear, then compressed bytes in frames of AES-256-GCM.

Each file has a key of its own (HKDF-SHA256 of a master key and a random salt), so a frame's nonce may be its number.
The last frame is marked in the nonce (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizar, 2015): frames
that are cut off, swapped, repeated or taken from another file do not open. The header is bound to every frame.
"""

from __future__ import annotations

import base64
import json
import os
import struct
import zlib
from collections.abc import Iterator
from types import TracebackType
from typing import BinaryIO, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, ValidationError

from incidents.errors import TocsinError
from notifier.vault import MasterKeys

FORMAT = "tocsin-backup"
VERSION = 1
FRAME = 1_048_576
"""Bytes of a frame before it is sealed."""
_TAG = 16
_LENGTH = struct.Struct(">I")
_MAX_HEADER = 4_096


class BackupDamaged(TocsinError):
    """The file is not a backup, was altered or cut off, or was sealed under another key."""

    code = "backup-damaged"
    title = "The backup cannot be read"


class _Header(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str
    version: int
    master_key: str
    salt: Base64Bytes = Field(min_length=16, max_length=64)


class SealedWriter:
    """Seals text lines into a file. Only `close` makes it complete; a file without its last frame does not open."""

    def __init__(self, file: BinaryIO, keys: MasterKeys) -> None:
        salt = os.urandom(16)
        fields = {
            "format": FORMAT,
            "version": VERSION,
            "master_key": keys.current,
            "salt": base64.b64encode(salt).decode(),
        }
        self._header = json.dumps(fields, separators=(",", ":")).encode() + b"\n"
        self._file = file
        self._file.write(self._header)
        self._seal = AESGCM(_key(keys, keys.current, salt))
        self._compress = zlib.compressobj(level=3)
        self._waiting = bytearray()
        self._number = 0

    def write_line(self, line: str) -> None:
        """Add a line (without its end)."""
        self._waiting += self._compress.compress(line.encode() + b"\n")
        while len(self._waiting) > FRAME:
            self._frame(bytes(self._waiting[:FRAME]), last=False)
            del self._waiting[:FRAME]

    def close(self) -> None:
        """Write the last frame."""
        self._waiting += self._compress.flush()
        while len(self._waiting) > FRAME:
            self._frame(bytes(self._waiting[:FRAME]), last=False)
            del self._waiting[:FRAME]
        self._frame(bytes(self._waiting), last=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()

    def _frame(self, content: bytes, *, last: bool) -> None:
        sealed = self._seal.encrypt(_nonce(self._number, last), content, self._header)
        self._file.write(_LENGTH.pack(len(sealed)))
        self._file.write(sealed)
        self._number += 1


def read_lines(file: BinaryIO, keys: MasterKeys) -> Iterator[str]:
    """The lines of a sealed file. BackupDamaged as soon as something is wrong: use nothing before the last one."""
    header = file.readline(_MAX_HEADER)
    try:
        given = _Header.model_validate_json(header)
    except ValidationError:
        raise BackupDamaged("This is not a backup of Tocsin: its first line is not a backup's header.") from None
    if (given.format, given.version) != (FORMAT, VERSION):
        raise BackupDamaged(f"This backup has form {given.format} {given.version}; this program reads {FORMAT} 1.")
    if given.master_key not in keys.keys:
        raise BackupDamaged(
            f"The backup is sealed under master key {given.master_key}, which the settings do not hold. "
            "Add the key file that was kept apart when the backup was made."
        )
    opener = AESGCM(_key(keys, given.master_key, given.salt))
    inflate = zlib.decompressobj()
    rest = b""
    for content in _frames(file, opener, header):
        try:
            *lines, rest = (rest + inflate.decompress(content)).split(b"\n")
        except zlib.error as error:
            raise BackupDamaged("The backup opens, but what is in it is not a backup.") from error
        for line in lines:
            yield line.decode()
    if rest or not inflate.eof:
        raise BackupDamaged("The backup ends in the middle of a line.")


def _frames(file: BinaryIO, opener: AESGCM, header: bytes) -> Iterator[bytes]:
    number = 0
    sealed = _next(file)
    while sealed is not None:
        following = _next(file)
        try:
            yield opener.decrypt(_nonce(number, following is None), sealed, header)
        except InvalidTag:
            what = "it was cut off, altered, or sealed under another key of the same name"
            raise BackupDamaged(f"Part {number + 1} of the backup does not open: {what}.") from None
        number += 1
        sealed = following
    if number == 0:
        raise BackupDamaged("The backup is cut off after its header.")


def _next(file: BinaryIO) -> bytes | None:
    length = file.read(_LENGTH.size)
    if not length:
        return None
    size = _LENGTH.unpack(length)[0] if len(length) == _LENGTH.size else -1
    if not _TAG <= size <= FRAME + _TAG:
        raise BackupDamaged("The backup is damaged: the length of a part is impossible.")
    sealed = file.read(size)
    if len(sealed) != size:
        raise BackupDamaged("The backup is cut off.")
    return sealed


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\x01" if last else b"\x00")


def _key(keys: MasterKeys, key_id: str, salt: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=salt, info=b"tocsin/backup").derive(keys.get(key_id))
