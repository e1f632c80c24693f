"""Read and check what is to be forgotten, kept and held out. Nothing here knows torch."""

from unteach.data.check import Finding, check, refuse
from unteach.data.read import read
from unteach.data.rows import Rows

__all__ = ["Finding", "Rows", "check", "read", "refuse"]
