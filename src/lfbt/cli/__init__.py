"""The command line: parsing and printing only."""

from lfbt.cli.app import main

__all__ = ["main"]
