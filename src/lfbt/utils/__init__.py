"""Helpers that are not about ECG: files, settings, progress, tensors."""

__all__ = [
    "collectives",
    "device",
    "figures",
    "files",
    "interrupts",
    "json_files",
    "memory",
    "progress",
    "settings",
    "tables",
    "tensors",
    "validation",
]
