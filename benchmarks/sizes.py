"""The sizes of all measurements: the paper's, and tiny ones that only check that the command runs."""

from __future__ import annotations

import dataclasses

from lfbt.recording import PAPER_LEADS, STANDARD_LEADS


@dataclasses.dataclass(frozen=True)
class StepSize:
    """One pretraining step: records of the batch, leads, samples, and the projectors' layers."""

    batch: int = 128
    n_leads: int = 8
    n_samples: int = 2048
    projector: tuple[int, ...] = (2048, 2048, 2048)

    @property
    def leads(self) -> tuple[str, ...]:
        """Lead names: the paper's, or the standard ones where more are needed."""
        known = PAPER_LEADS if self.n_leads <= len(PAPER_LEADS) else STANDARD_LEADS
        return known[: self.n_leads]


@dataclasses.dataclass(frozen=True)
class Sizes:
    """The sizes of all rows. Defaults are the paper's."""

    rounds: int = 5
    """Rounds in which literal and ours alternate."""
    step: StepSize = StepSize()
    small_step: StepSize = StepSize(batch=64, n_samples=1024, projector=(512, 512, 512))
    """The step of the small preset."""
    large_batch: int = 2048
    """Batch of the step with `low_memory` that must fit an ordinary machine."""
    matmul: int = 2048
    """Rows and columns of the matrices whose product gives the machine's peak."""
    read_records: int = 30_000
    read_batches: int = 10
    """Batches read in one round."""
    embed_records: int = 1_024
    probe_records: int = 12_000
    probe_epochs: int = 100
    prepare_records: int = 4_000
    answer_files: int = 10_000
    growth_batch: tuple[int, ...] = (32, 64, 128, 256, 512)
    growth_n_leads: tuple[int, ...] = (1, 2, 4, 8, 12)
    growth_n_samples: tuple[int, ...] = (512, 1024, 2048, 5000)
    growth_records: tuple[int, ...] = (1_000, 10_000, 100_000)
    growth_prepare: tuple[int, ...] = (300, 1_000, 3_000)


PAPER = Sizes()
# Most of the time goes into starting processes: each configuration of the step is one.
QUICK = Sizes(
    rounds=1,
    step=StepSize(batch=8, n_leads=2, n_samples=256, projector=(32, 32)),
    small_step=StepSize(batch=4, n_leads=2, n_samples=128, projector=(16, 16)),
    large_batch=16,
    matmul=128,
    read_records=64,
    read_batches=2,
    embed_records=16,
    probe_records=240,
    probe_epochs=5,
    prepare_records=24,
    answer_files=60,
    growth_batch=(8,),
    growth_n_leads=(2,),
    growth_n_samples=(256,),
    growth_records=(100, 1_000),
    growth_prepare=(10, 20),
)
