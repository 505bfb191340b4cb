"""Read and compare what runs wrote."""

import csv
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a history."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def assert_same_tensors(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    """Bit by bit, and not by accident of an empty dict."""
    assert one
    assert list(one) == list(other)
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
