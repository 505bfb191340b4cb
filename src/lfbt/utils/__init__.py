"""Helpers that are not about ECG: files, settings, progress, tensors."""

__all__ = [
    "collectives",
    "device",
    "figures",
    "files",
    "finished",
    "interrupts",
    "limits",
    "memory",
    "opening",
    "printing",
    "progress",
    "settings",
    "tables",
    "targets",
    "tensors",
    "threads",
]
