"""The bundled encoder `lfbt-small`: trained on open recordings and written into the package, with its model card.

    python -m benchmarks.bundled_encoder --data ../shared/data --out bundled

Trains on CinC 2011 set-a and the Challenge 2020/2021 samples without their PTB-XL records, with the preset `small`;
writes the weights in float16, the settings, the fingerprints of the records and the card; ends with the figures of
`benchmarks.bundled_figures`, which the card has, too. Finished parts are kept: the same command resumes after an
interruption. ``--run`` takes a finished run of `lfbt pretrain` on the same records instead of training.
"""

from __future__ import annotations

import argparse
import json
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.bundled_figures import N_SAMPLES, figures
from benchmarks.objectives import link_challenge
from lfbt.audit.fingerprints import FINGERPRINTS
from lfbt.data.layouts import open_datasets
from lfbt.data.preparation import prepare_dataset
from lfbt.data.records import PrepareSettings
from lfbt.errors import LfbtError
from lfbt.models.config import EncoderCard
from lfbt.models.pretrained import MODEL, load_encoder, load_history
from lfbt.recording import STANDARD_LEADS
from lfbt.runs.encoder_folder import BUNDLED, encoder_folder
from lfbt.sources import Challenge, Folder
from lfbt.training.pretraining import Pretrainer
from lfbt.training.settings import PretrainSettings
from lfbt.utils.settings import Affects, names_affecting, to_dict
from lfbt.utils.tensors import save_tensors

#: The card, with a place for the figures.
CARD = Path(__file__).with_name("bundled_card.md")
FIGURES = "FIGURES"
#: What the encoder learned from, as its history has it.
SOURCES = (
    {"name": "PhysioNet/CinC Challenge 2011, set-a, graded acceptable", "licence": "ODC-By 1.0"},
    {
        "name": "PhysioNet/CinC Challenge 2021, sample of CPSC2018, CPSC-Extra, Georgia, Chapman, Ningbo and PTB",
        "licence": "CC BY 4.0",
    },
)


def prepared(data: Path, out: Path, n_samples: int = N_SAMPLES) -> Sequence[Path]:
    """Prepare the two data sets that the encoder learns from, all records in the split train."""
    challenge = link_challenge(data, out / "challenge")
    settings = PrepareSettings(n_samples=n_samples, leads=STANDARD_LEADS)
    targets = out / "data" / "cinc2011", out / "data" / "challenge"
    for source, kind, folder, target in (
        (Folder(), "folder", data / "cinc2011" / "acceptable", targets[0]),
        (Challenge(labels="none"), "challenge", challenge, targets[1]),
    ):
        if not target.exists():
            prepare_dataset(source, kind, folder, target, settings)
    return targets


def pretrain_settings(folders: Sequence[Path], run_dir: Path) -> PretrainSettings:
    """The settings of the training: the preset `small` as it is."""
    return PretrainSettings.create(tuple(folders), run_dir, "small", seed=0, resume=True)


def checked_history(run: Path, settings: PretrainSettings) -> dict[str, Any]:
    """How a finished run was trained, without its paths; raise LfbtError unless it is as `settings` are."""
    history = load_history(run)
    own = names_affecting(PretrainSettings, Affects.RESULT)
    values = json.loads(json.dumps(to_dict(settings), default=str))
    expected = {name: value for name, value in values.items() if name in own}
    expected |= {"data_hash": open_datasets(settings.data.data_dir).hash, "epochs_done": settings.optimizer.epochs}
    for name, value in expected.items():
        if history.get(name) != value:
            raise LfbtError(f"{run}: {name} is {history.get(name)}, not {value}; take a finished run of these settings")
    return {name: value for name, value in history.items() if name in own or name not in values}


def write(run: Path, history: dict[str, Any], folder: Path) -> None:
    """Write weights, settings and fingerprints. Kernels are rounded to float16, batch norms are not."""
    encoder = load_encoder(run)
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(folder / MODEL, {name: x.half() if x.dim() > 1 else x for name, x in encoder.state_dict().items()})
    EncoderCard.create(encoder.config, history | {"sources": SOURCES}).save(folder)
    shutil.copyfile(encoder_folder(run) / FINGERPRINTS, folder / FINGERPRINTS)


def main() -> None:
    """Train unless a run is given, write the encoder, and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real recordings")
    parser.add_argument("--out", type=Path, required=True, help="folder for data sets and the run")
    parser.add_argument("--run", type=Path, help="finished run folder, instead of training")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", "The least populated class", UserWarning)
    out: Path = arguments.out
    settings = pretrain_settings(prepared(arguments.data, out), out / "run")
    run = arguments.run or Pretrainer(settings).run()
    folder = encoder_folder(Path(BUNDLED))
    write(run, checked_history(run, settings), folder)
    table = figures(arguments.data, out / "data", run)
    card = CARD.read_text(encoding="utf-8").replace(FIGURES, table)
    (folder / "README.md").write_text(card, encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main()
