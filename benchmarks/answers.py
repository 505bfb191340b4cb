"""ECG files answered: latency of one, cold start of the command, and the rate on a folder, by PyTorch and onnxruntime.

A case of ``python -m benchmarks``; by itself, with as few files as wanted:

    python -m benchmarks.answers --files 500
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import Timings, interleaved, median_seconds, seconds_of
from benchmarks.rows import Row, at_most, faster
from benchmarks.sizes import PAPER
from lfbt.data.dataset import from_arrays
from lfbt.data.layouts import open_dataset
from lfbt.data.preparation import prepare_dataset
from lfbt.data.records import PrepareSettings
from lfbt.evaluation.probing import run_probe
from lfbt.evaluation.settings import ProbeSettings
from lfbt.inference.answering import AnswerSettings, PredictSettings, write_predictions
from lfbt.inference.embed_settings import EmbedSettings
from lfbt.inference.embedding import embed_dataset
from lfbt.inference.embedding_folder import write_embeddings
from lfbt.inference.embedding_table import embed_inputs
from lfbt.inference.export import export
from lfbt.inference.loading import load_encoder_model
from lfbt.inference.prediction import iterate_answers
from lfbt.inference.recordings import FileSettings, Pieces, iterate_pieces, list_recordings
from lfbt.models.config import EncoderConfig
from lfbt.models.encoder import random_encoder
from lfbt.models.pretrained import save_encoder
from lfbt.recording import PAPER_LEADS, STANDARD_LEADS
from lfbt.runs.encoder_folder import BUNDLED
from lfbt.sources import Folder, PtbXl
from lfbt.sources.synthesis import write_ptbxl
from lfbt.utils.tables import as_markdown

_DIFFERENT = 200
_N_SAMPLES = 1024
_REPEATS = 30
_MOST_MS, _MOST_START = 10, 1.5
_SHARE = 0.8
_ECG = "one 12-lead ECG of 10 s"
_PAPER = "8 leads, 2048 samples"


@dataclasses.dataclass(frozen=True)
class Place:
    """Files of ECGs (WFDB, 500 Hz), the same prepared, and a classifier of both libraries."""

    files: Path
    data: Path
    run: Path
    onnx: Path

    @property
    def one(self) -> Path:
        """One of the files."""
        return min(self.files.rglob("*.hea"))


def answers(n_files: int) -> list[Row]:
    """Measure all rows with `n_files` files in the folder."""
    with tempfile.TemporaryDirectory() as folder:
        place = _write(Path(folder), n_files)
        return [*_latency(place), *_cold_start(place), *_rates(place, n_files), *_paper_rates(place, n_files)]


def _write(folder: Path, n_files: int) -> Place:
    """Up to 200 different synthetic records, their files linked as often as there are to be files."""
    n_different = max(60, min(n_files, _DIFFERENT))
    write_ptbxl(folder / "ptbxl", n_different, 0)
    originals = sorted((folder / "ptbxl" / "records500").rglob("*.hea"))
    place = Place(folder / "files", folder / "data", folder / "run", folder / "model.onnx")
    for number, header in zip(range(n_files), itertools.cycle(originals), strict=False):
        target = place.files / f"{number // n_different:04}"
        target.mkdir(parents=True, exist_ok=True)
        for file in (header, header.with_suffix(".dat")):
            os.link(file, target / file.name)
    settings = PrepareSettings(leads=STANDARD_LEADS, n_samples=_N_SAMPLES, workers=1)
    prepare_dataset(Folder(), "folder", place.files, place.data, settings)
    prepare_dataset(PtbXl(), "ptbxl", folder / "ptbxl", folder / "labelled", settings)
    run_probe(
        ProbeSettings.create(
            folder / "labelled", place.run, checkpoint=BUNDLED, classifier="logistic", device="cpu", workers=0
        )
    )
    export(place.run, place.onnx)
    return place


def _latency(place: Place) -> list[Row]:
    from lfbt.inference.loading import load_model
    from lfbt.inference.prediction import prediction_rows

    file = place.one
    signals = open_dataset(place.data).batch(np.array([0]), "none")
    rows = []
    before, stated = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    for threads in (1, 2):
        torch.set_num_threads(threads)
        os.environ["OMP_NUM_THREADS"] = str(threads)
        models = [load_model(place.run, "cpu"), load_model(place.onnx)]

        def answer(model: object) -> Callable[[], object]:
            def run() -> object:
                pieces = iterate_pieces(list_recordings([file], FileSettings()), model.config, FileSettings())  # type: ignore[attr-defined]
                return [list(prediction_rows(one, model, False)) for one in iterate_answers(pieces, model)]  # type: ignore[arg-type]

            return run

        suffix = f"{threads} thread{'s' if threads > 1 else ''}"
        by_torch, by_onnx = models
        timings = interleaved(answer(by_torch), answer(by_onnx), _REPEATS)
        both = Timings(*(tuple(1e3 * one for one in side) for side in (timings.literal, timings.ours)))
        what = f"{_ECG}, file to probabilities by ONNX, {suffix}"
        rows.append(dataclasses.replace(faster(what, 1, both, "", "PyTorch"), unit="ms"))
        for name, model in zip(("PyTorch", "onnxruntime"), models, strict=True):
            took = 1e3 * median_seconds(lambda: model.compute(signals), _REPEATS)  # noqa: B023
            rows.append(at_most(f"{_ECG}, model only, {name}, {suffix}", _MOST_MS, took, "ms", ""))
    torch.set_num_threads(before)
    os.environ.pop("OMP_NUM_THREADS")
    if stated is not None:
        os.environ["OMP_NUM_THREADS"] = stated
    return rows


def _cold_start(place: Place) -> list[Row]:
    def start(classifier: Path) -> float:
        words = [sys.executable, "-m", "lfbt", "predict", str(place.one), "--classifier", str(classifier)]
        return statistics.median(
            seconds_of(lambda: subprocess.run(words, check=True, capture_output=True))[0] for _ in range(5)
        )

    by_torch, by_onnx = start(place.run), start(place.onnx)
    note = f"the whole process, files in memory; with a run folder, by PyTorch, {by_torch:.2g} s"
    return [at_most("cold start of `lfbt predict FILE` by ONNX", _MOST_START, by_onnx, "s", note)]


def _rates(place: Place, n_files: int) -> list[Row]:
    out = place.files.with_name("out")
    table = place.files.with_name("out.csv")

    def prepared() -> None:
        shutil.rmtree(out, ignore_errors=True)
        write_embeddings(EmbedSettings((place.data,), out, place.run, device="cpu"))

    def embed(checkpoint: Path) -> Callable[[], None]:
        def run() -> None:
            table.unlink(missing_ok=True)
            embed_inputs(EmbedSettings((), table, checkpoint, (place.files,), device="cpu"))

        return run

    def predict(classifier: Path) -> Callable[[], None]:
        def run() -> None:
            table.unlink(missing_ok=True)
            write_predictions(PredictSettings(AnswerSettings((place.files,), table), classifier, device="cpu"))

        return run

    sides = {
        "embed FOLDER, PyTorch": embed(place.run),
        "embed FOLDER, ONNX": embed(place.onnx),
        "predict FOLDER, PyTorch": predict(place.run),
        "predict FOLDER, ONNX": predict(place.onnx),
    }
    # What is slow at first, such as imports, has been done by the rows before.
    of_prepared = n_files / seconds_of(prepared)[0]
    rows = []
    for name, function in sides.items():
        own = n_files / seconds_of(function)[0]
        rows.append(_share(f"`lfbt {name.replace(',', '`,')}, {n_files:,} files", own, of_prepared))
    return rows


def _paper_rates(place: Place, n_files: int) -> list[Row]:
    """Reading alone, and files beside prepared records, with an encoder of the paper's size; no table is written."""
    encoder = random_encoder(EncoderConfig(PAPER_LEADS, 204.8, 2048, "record"), seed=0)
    save_encoder(place.run.with_name("paper"), encoder, {})
    model = load_encoder_model(place.run.with_name("paper"), "cpu")

    def read() -> list[Pieces]:
        return list(iterate_pieces(list_recordings([place.files], FileSettings()), model.config, FileSettings()))

    def of_files() -> None:
        pieces = iterate_pieces(list_recordings([place.files], FileSettings()), model.config, FileSettings())
        collections.deque(iterate_answers(pieces, model), maxlen=0)

    dataset = from_arrays(np.concatenate([one.signals for one in read()]), PAPER_LEADS, 204.8)
    of_prepared = n_files / seconds_of(lambda: embed_dataset(dataset, encoder, device="cpu"))[0]
    return [
        _share(f"{n_files:,} files read and cut only, {_PAPER}", n_files / seconds_of(read)[0], of_prepared),
        _share(f"{n_files:,} files embedded, {_PAPER}", n_files / seconds_of(of_files)[0], of_prepared),
    ]


def _share(what: str, own: float, of_prepared: float) -> Row:
    """A row of records a second, beside those of prepared data."""
    ratio = own / of_prepared
    return Row(
        what=what,
        target=f"≥ {100 * _SHARE:g} %",
        unit="records/s",
        literal=of_prepared,
        ours=own,
        ratio_median=ratio,
        ratio_min=ratio,
        ratio_max=ratio,
        reached=ratio >= _SHARE,
        against="embed of prepared data, PyTorch",
    )


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=PAPER.answer_files, help="files in the folder")
    words = parser.parse_args()
    cells = [["what", "asked", "other side", "ours", "ratio", "reached"]]
    for row in answers(words.files):
        other = "" if row.literal is None else f"{row.literal:.3g} {row.unit} ({row.against})"
        ratio = "" if row.ratio_median is None else f"{row.ratio_median:.2f}"
        cells.append([row.what, row.target, other, f"{row.ours:.3g} {row.unit}", ratio, "yes" if row.reached else "no"])
    print(as_markdown(cells))


if __name__ == "__main__":
    main()
