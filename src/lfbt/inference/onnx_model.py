"""An exported model, computed by onnxruntime: without PyTorch."""

from __future__ import annotations

import dataclasses
import functools
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfbt.errors import LfbtError
from lfbt.inference.onnx_file import OnnxCard, read_onnx_file
from lfbt.inference.onnx_graph import EMBEDDINGS, INPUT, LOGITS, PROBABILITIES
from lfbt.inference.prediction import ServedSubset
from lfbt.models.config import EncoderConfig
from lfbt.signal import Signal

# Errors only: onnxruntime would print on stderr by itself.
_QUIET = 4
# Pieces whose activations stay in the cache; of 64 at once it takes a fifth longer.
_AT_ONCE = 16


@dataclasses.dataclass(frozen=True, eq=False)
class OnnxModel:
    """An encoder, perhaps with a classifier, computed by onnxruntime; see `lfbt.inference.prediction.Model`.

    The z-score is in its graph, so it takes millivolts whatever the encoder's normalisation.
    """

    card: OnnxCard
    session: Any
    path: Path

    @functools.cached_property
    def config(self) -> EncoderConfig:
        """What the graph takes: signals in mV, not normalised."""
        return dataclasses.replace(self.card.config, normalisation="none")

    @property
    def features_per_lead(self) -> int:
        """The length of a lead's part of an embedding."""
        return self.card.n_features

    @property
    def needs_voltages(self) -> bool:
        """Whether answers depend on amplitudes: they do without a z-score in the graph, and by the features."""
        return self.card.normalisation == "none" or bool(self.card.features and self.card.features.amplitudes)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; empty of an encoder."""
        return self.card.classes

    @property
    def exclusive(self) -> bool:
        """Whether a recording has exactly one class."""
        return self.card.exclusive

    @property
    def thresholds(self) -> tuple[float | None, ...]:
        """From which probability on a class is predicted, kept from validation; None where there is none."""
        return self.card.thresholds

    @property
    def subsets(self) -> tuple[ServedSubset, ...]:
        """The leads that suffice, besides all of them; none of most files."""
        return self.card.subsets

    @property
    def most_at_once(self) -> int:
        """One thread: onnxruntime has its own."""
        return 1

    def compute(self, signals: Signal) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Compute embeddings ``[pieces, leads × features]`` and logits ``[pieces, classes]`` of signals in mV."""
        names = [EMBEDDINGS, LOGITS] if self.classes else [EMBEDDINGS]
        starts = range(0, len(signals), _AT_ONCE) or [0]
        parts = [np.ascontiguousarray(signals[start : start + _AT_ONCE], np.float32) for start in starts]
        # onnxruntime's exceptions have no base class but Exception.
        try:
            results = [self.session.run(names, {INPUT: part}) for part in parts]
        except Exception as error:
            raise LfbtError(f"{self.path}: onnxruntime cannot compute it ({_first_line(error)})") from error
        embeddings, *logits = map(np.concatenate, zip(*results, strict=True))
        return embeddings, logits[0] if logits else np.empty((len(signals), 0), np.float32)


def load_onnx(path: Path, name: str, device: str = "auto") -> OnnxModel:
    """Load a file that `lfbt export` wrote.

    Parameters
    ----------
    path
        The file.
    name
        The setting that has it, for messages.
    device
        ``auto`` or ``cpu``.

    Returns
    -------
    OnnxModel
        Which computes with as many threads as the variable ``OMP_NUM_THREADS`` says, as PyTorch does, or with one a
        core.

    Raises
    ------
    LfbtError
        Without onnxruntime, and for a file that is not one of lfbt, not safe, or does not hold what it states.
    """
    if device not in ("auto", "cpu"):
        raise LfbtError(f"device: {device!r}, but ONNX files are computed on the CPU; allowed: auto, cpu")
    content, card = read_onnx_file(path, name)
    try:
        import onnxruntime
    except ImportError as error:
        raise LfbtError(f"{name}: {path} needs the package onnxruntime ({error}); pip install 'lfbt[onnx]'") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _QUIET
    options.intra_op_num_threads = _n_threads()
    options.inter_op_num_threads = 1
    options.enable_profiling = False
    # Waiting threads would keep the cores from those that read the next files.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise LfbtError(
            f"{name}: {path} is not a complete ONNX file ({_first_line(error)}); export the model again with lfbt "
            "export"
        ) from error
    model = OnnxModel(card, session, path)
    _check_shapes(model, name)
    return model


def load_classes(path: Path, device: str = "auto") -> OnnxModel:
    """Load a classifier as `load_onnx` does. Raises LfbtError for an encoder, too."""
    model = load_onnx(path, "classifier", device)
    if not model.classes:
        raise LfbtError(f"classifier: {path} is an encoder without classes; export a run with a classifier")
    return model


def _check_shapes(model: OnnxModel, name: str) -> None:
    """Raise LfbtError unless the graph takes and gives what the card states."""
    card = model.card
    expected: dict[str, list[int]] = {EMBEDDINGS: [len(card.leads) * card.n_features]}
    if card.classes:
        expected |= {LOGITS: [len(card.classes)], PROBABILITIES: [len(card.classes)]}
    takes = {one.name: (one.type, one.shape[1:]) for one in model.session.get_inputs()}
    gives = {one.name: (one.type, one.shape[1:]) for one in model.session.get_outputs()}
    if takes != {INPUT: ("tensor(float)", [len(card.leads), card.n_samples])}:
        raise LfbtError(
            f"{name}: {model.path} takes {takes}, not float {INPUT} [records, {len(card.leads)}, {card.n_samples}], as "
            "its metadata states; export the model again with lfbt export"
        )
    if gives != {output: ("tensor(float)", shape) for output, shape in expected.items()}:
        raise LfbtError(
            f"{name}: {model.path} gives {gives}, not {expected} of each record, as its metadata states; export the "
            "model again with lfbt export"
        )


def _n_threads() -> int:
    stated = os.environ.get("OMP_NUM_THREADS", "")
    if stated.isdecimal() and int(stated) > 0:
        return int(stated)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
