"""The sizes of the checks and measurements: those of the paper, and tiny ones for a machine without a GPU."""

from __future__ import annotations

import dataclasses

from benchmarks.sizes import StepSize


@dataclasses.dataclass(frozen=True)
class GpuSizes:
    """Sizes of all checks and measurements. Defaults are for a GPU of 24 GB or more."""

    step: StepSize = dataclasses.field(default_factory=StepSize)
    """The step that is timed."""
    check: StepSize = dataclasses.field(default_factory=lambda: StepSize(batch=32))
    """The step that is compared with the CPU's in double precision."""
    exact: StepSize = dataclasses.field(default_factory=lambda: StepSize(batch=8, n_samples=256, projector=(64, 64)))
    """What is compared in double precision on the device itself, and between processes."""
    steps: int = 6
    """Steps of a run that is resumed halfway, and of one in half precision."""
    repeats: int = 12
    """Timed steps."""
    embed_batches: tuple[int, ...] = (32, 128, 512, 2048)
    records: int = 600
    """Records of the data set of commands."""
    probe_records: int = 12_000
    probe_epochs: int = 100
    compiler: str = "inductor"
    """Backend of torch.compile."""


FULL = GpuSizes()
QUICK = GpuSizes(
    step=StepSize(batch=4, n_leads=2, n_samples=64, projector=(16, 16)),
    check=StepSize(batch=16, n_leads=2, n_samples=128, projector=(16, 16)),
    exact=StepSize(batch=4, n_leads=2, n_samples=64, projector=(8, 8)),
    steps=4,
    repeats=1,
    embed_batches=(2, 4),
    records=60,
    probe_records=120,
    probe_epochs=2,
    # Compiles nothing: the call is tried, not the speed.
    compiler="eager",
)
