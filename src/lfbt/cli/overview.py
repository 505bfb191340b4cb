"""The commands by name, their list, and the nearest name to a misspelt one. Imports nothing slow."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

import lfbt

#: One line on each command; its module is ``lfbt.cli.<name>``.
COMMANDS = {
    "prepare": "Prepare a data set from a published download or from your own records.",
    "sources": "List the published data sets that can be prepared: records, patients, licence, labels, where they are.",
    "check": "Look for copies, leaks between splits, bad leads and other faults in data sets.",
    "pretrain": "Learn an encoder from records without labels.",
    "probe": "Score a frozen encoder with a linear classifier.",
    "finetune": "Train encoder and classifier together, pretrained or from scratch.",
    "embed": "Write embeddings of recordings: files, folders or data sets.",
    "predict": "Classify recordings by a trained classifier: files, folders or data sets.",
    "draw": "Draw one ECG on grid paper, as cardiologists read it: SVG, PNG or PDF.",
    "serve": "Answer recordings over HTTP: an API and one page.",
    "export": "Write a classifier or an encoder as one ONNX file, which needs no PyTorch.",
    "compare": "Compare runs on the test split: means over seeds, intervals, paired differences.",
    "report": "Turn run folders into one HTML file: figures, curves, ECGs, errors, a map, reasons.",
    "runs": "List run folders: progress, results, and the settings in which they differ.",
    "benchmark": "Score a frozen encoder by a protocol of the field, beside published figures of others.",
    "reproduce": "Run the paper's complete protocol from its four downloads, or resume it.",
}


def overview(usage: str, names: Mapping[str, str]) -> str:
    """List `names` with what each stands for, below the `usage`."""
    width = max(map(len, names)) + 2
    lines = [f"lfbt {lfbt.__version__}: {lfbt.__doc__}", "", f"Usage: {usage} [OPTIONS]", ""]
    lines += [f"  {name:<{width}}{meaning}" for name, meaning in names.items()]
    return "\n".join([*lines, "", f"`{usage} --help` lists the options of one, with defaults and units."])


def suggest(word: str, names: Iterable[str]) -> str | None:
    """Return the one of `names` that `word` is closest to, or begins; None where none is close.

    >>> suggest("prob", COMMANDS), suggest("mimic", ["mimic-iv-ecg", "ptb"])
    ('probe', 'mimic-iv-ecg')
    """
    names = list(names)
    begun = [name for name in names if word and name.startswith(word)]
    return next(iter(difflib.get_close_matches(word, names, n=1) or (begun if len(begun) == 1 else [])), None)
