"""The command line: parsing and printing only; one module a command, each with ``parse`` and ``run``."""

from lfbt.cli.app import main

__all__ = ["errors", "main", "trials"]
