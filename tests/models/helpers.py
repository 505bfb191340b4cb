"""What the tests of models share."""

import json

import torch


def edit(folder, **changes):
    """Change values of a ``config.json``."""
    content = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(content))


def signals_of(*shape, seed=0, dtype=torch.float64):
    """Normal numbers of a shape."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
