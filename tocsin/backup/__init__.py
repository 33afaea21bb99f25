"""Backup and restore: everything that cannot be made again, in one sealed file that proves itself."""

from tocsin.backup.reading import Inspection, inspect_backup
from tocsin.backup.restoring import Restored, restore_backup
from tocsin.backup.sealed_file import BackupDamaged
from tocsin.backup.writing import BackupFailed, Written, write_backup

__all__ = [
    "BackupDamaged",
    "BackupFailed",
    "Inspection",
    "Restored",
    "Written",
    "inspect_backup",
    "restore_backup",
    "write_backup",
]
