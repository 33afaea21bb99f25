"""The vault: who the affected persons are and how to reach them, each under a key of their own."""

from notifier.vault.contact import Contact, ErasedContact
from notifier.vault.keys import MasterKeys
from notifier.vault.vault import Vault

__all__ = ["Contact", "ErasedContact", "MasterKeys", "Vault"]
