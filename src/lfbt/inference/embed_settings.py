"""The settings of `lfbt embed`. Free of PyTorch."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from lfbt.errors import LfbtError
from lfbt.inference.recordings import FileSettings
from lfbt.inference.watching import WatchSettings
from lfbt.models.feature_maps import FeatureName
from lfbt.runs.encoder_folder import BUNDLED
from lfbt.utils.settings import Affects, Range, Seed

#: What becomes of recordings that lack leads of the encoder: no embedding, or one with NaN in these leads' columns.
MissingLeads = Literal["refuse", "nan"]


@dataclasses.dataclass(frozen=True)
class EmbedSettings:
    """Which records are embedded, by which encoder."""

    data_dir: Annotated[tuple[Path, ...], Affects.LOCATION] = ()
    """In place of inputs, data sets for a folder of embeddings: packed ones, or folders of .npy files."""
    out: Annotated[Path | None, Affects.LOCATION] = None
    """Of inputs: new file .csv, .jsonl or .parquet; without it the table is printed. Of data sets: new folder for
    embeddings.npy, records.csv and, where the run folder has a classifier, probabilities.csv."""
    checkpoint: Annotated[Path, Affects.LOCATION] = Path(BUNDLED)
    """Encoder: a run folder, an encoder folder, a .pth file of the authors, lfbt-small, which comes with lfbt,
    owner/name of the Hugging Face Hub, or, for inputs, an .onnx file."""
    inputs: Annotated[tuple[Path, ...], Affects.LOCATION] = ()
    """Files, folders or prepared data sets; - for a list of paths on stdin, one a line, or with NULs between
    them."""
    per_piece: bool = False
    """Of inputs: also a row for each piece of a recording that is longer than the encoder's duration."""
    features: FeatureName = "paper"
    """What an embedding consists of. paper: the mean over time of the encoder's last block. rich: mean and maximum over
    time of its last two blocks, and the amplitudes of each lead in mV; of an .onnx file those that it computes."""
    leads: tuple[str, ...] = ()
    """Use the encoders of these leads only, by name, comma-separated."""
    allow_mismatch: bool = False
    """Use a data set although its leads, sampling rate or samples are not the encoder's."""
    missing_leads: MissingLeads = "refuse"
    """Of inputs that lack leads of the encoder which do not follow from others. refuse: no embedding. nan: columns of
    these leads are empty, and the column leads names those that there are."""
    files: FileSettings = dataclasses.field(default_factory=FileSettings)
    split_seed: Seed = 0
    """Seed of the split of class folders without split folders."""
    device: Annotated[str, Affects.RUNTIME] = "auto"
    """auto, cpu or cuda."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of data sets by --data-dir: bf16 takes half of the time on a processor with AVX512_BF16, and moves embeddings by
    about one percent."""
    workers: Annotated[int, Range("[0, 1024]"), Affects.RUNTIME] = 2
    """Threads that read batches ahead."""
    overwrite: Annotated[bool, Affects.RUNTIME] = False
    """Replace what lfbt has written there before, once all is complete; never other files."""
    watching: WatchSettings = dataclasses.field(default_factory=WatchSettings)

    def check(self) -> None:
        """Raise LfbtError for settings that have an effect on inputs only, or on data sets in `data_dir` only."""
        files = self.files
        of_inputs = {
            "per_piece": self.per_piece,
            "file_leads": files.file_leads,
            "file_sampling_rate": files.file_sampling_rate,
            "file_unit": files.file_unit != "mV",
        }
        of_data_sets = {"allow_mismatch": self.allow_mismatch, "split_seed": self.split_seed}
        if self.data_dir and (given := [name for name, value in of_inputs.items() if value]):
            raise LfbtError(f"{given[0]}: has an effect on inputs only, not on data_dir; leave it out")
        has_inputs = self.inputs or self.watching.watch is not None
        if has_inputs and (given := [name for name, value in of_data_sets.items() if value]):
            raise LfbtError(f"{given[0]}: has an effect on data sets in data_dir only; leave it out")
