"""How a series lies on the disk."""

from .superblock import Superblock, read_superblock, repair

__all__ = ["Superblock", "read_superblock", "repair"]
