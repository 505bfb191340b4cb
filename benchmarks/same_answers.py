"""One classifier asked in four ways, and one ECG in four formats: by how much the answers differ.

    python -m benchmarks.same_answers --data ../shared/data --docs docs/onnx.md

`lfbt-small` is fine-tuned on PTB-XL for a few epochs. The files of the held records are then answered by the command,
from Python, by the exported ONNX file where PyTorch cannot be imported, and over HTTP. Exports of one ECG are embedded.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd

import lfbt
from benchmarks.measure import seconds_of
from benchmarks.serving import served
from lfbt.recording import STANDARD_LEADS
from lfbt.utils.tables import as_markdown

BEGIN, END = "<!-- same answers: begin -->", "<!-- same answers: end -->"
#: Exports of one ECG in ../shared/data/formats, of four programs.
EXPORTS = ("scp_example.scp", "dicom_example.dcm", "aecg_example.xml", "aecg_fda_subject1_0.xml")
_WITHOUT_TORCH = """
import sys
from importlib.machinery import PathFinder
class WithoutTorch(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name == "torch" else super().find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutTorch
from lfbt.cli import main
main()
"""


@dataclasses.dataclass(frozen=True)
class Way:
    """How a way of asking differs from the first: probabilities at most, and the recordings called otherwise."""

    name: str
    records: int
    difference: float
    called_otherwise: int
    seconds: float


def same_answers(data: Path, folder: Path, epochs: int, fraction: float = 1.0) -> list[Way]:
    """Fine-tune in `folder` on a fraction, ask in each way for the test records' files, compare the answers."""
    leads = ",".join(STANDARD_LEADS)
    lfbt.prepare("ptbxl", data / "ptbxl", folder / "data", n_samples=1024, leads=leads, workers=1)
    cpu: dict[str, Any] = {"device": "cpu", "workers": 0}
    lfbt.finetune(folder / "data", folder / "run", "lfbt-small", epochs=epochs, fraction=fraction, **cpu)
    lfbt.export(folder / "run", folder / "model.onnx")
    dataset = lfbt.open_dataset(folder / "data")
    held = {int(dataset.ids[row]) for row in dataset.rows("test")}
    files = [path for path in sorted((data / "ptbxl" / "records500").rglob("*.hea")) if int(path.stem[:5]) in held]
    ways = {
        "lfbt predict": lambda: _by_command(["-m", "lfbt"], folder / "run", files, folder / "shell.csv"),
        "load_classifier(…).predict": lambda: lfbt.load_classifier(folder / "run", "cpu").predict(files),
        "lfbt predict, ONNX, without PyTorch": lambda: _by_command(
            ["-c", _WITHOUT_TORCH], folder / "model.onnx", files, folder / "onnx.csv"
        ),
        "POST /predict": lambda: _over_http(folder / "run", files),
    }
    first: pd.DataFrame | None = None
    compared = []
    for name, ask in ways.items():
        seconds, table = seconds_of(ask)
        first = table if first is None else first
        columns = [column for column in map(str, first) if column.startswith("p_")]
        difference = np.abs(table[columns].to_numpy(float) - first[columns].to_numpy(float)).max()
        called = ["record", "predicted", "above_threshold"]
        otherwise = (table[called].fillna("") != first[called].fillna("")).any(axis=1)
        compared.append(Way(name, len(table), float(difference), int(otherwise.sum()), seconds))
    return compared


def _by_command(program: list[str], classifier: Path, files: Sequence[Path], out: Path) -> pd.DataFrame:
    words = [sys.executable, *program, "predict", "-", "--classifier", str(classifier), "--out", str(out)]
    listed = "\n".join(map(str, files))
    subprocess.run(words, input=listed, text=True, check=True, capture_output=True, env=os.environ)
    return pd.read_csv(out, dtype={"record": str})


def _over_http(run: Path, files: Sequence[Path]) -> pd.DataFrame:
    rows = []
    with served(run) as (_, url), httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
        for header in files:
            both = [("files", (path.name, path.read_bytes())) for path in (header, header.with_suffix(".dat"))]
            answer = http.post("predict", files=both).raise_for_status().json()
            row = {f"p_{name}": value for name, value in answer["probabilities"].items()}
            called = {name: ";".join(answer[name]) for name in ("predicted", "above_threshold")}
            rows.append(row | called | {"record": answer["record"]})
    return pd.DataFrame(rows)


def same_embedding(data: Path, folder: Path) -> dict[str, tuple[float, float]]:
    """Of each export of one ECG, the largest difference from the first: of samples in mV, and of the embedding."""
    files = [data / "formats" / name for name in EXPORTS]
    recordings = [lfbt.read(file) for file in files]
    signals = [one.signal[[one.leads.index(lead) for lead in STANDARD_LEADS]] for one in recordings]
    out = folder / "embeddings.csv"
    words = [sys.executable, "-m", "lfbt", "embed", *map(str, files), "--out", str(out)]
    subprocess.run(words, check=True, capture_output=True)
    embeddings = pd.read_csv(out).filter(regex=r"^e\d+$").to_numpy(float)
    return {
        name: (float(np.abs(signal - signals[0]).max()), float(np.abs(embedding - embeddings[0]).max()))
        for name, signal, embedding in zip(EXPORTS, signals, embeddings, strict=True)
    }


def main() -> None:
    """Print the tables, and write them into the documentation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real recordings")
    parser.add_argument("--epochs", type=int, default=5, help="of the fine-tuning")
    parser.add_argument("--docs", type=Path, help="Markdown file whose tables, between its markers, are replaced")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ways = same_answers(words.data, Path(folder), words.epochs)
        exports = same_embedding(words.data, Path(folder))
    answers = [["asked by", "held records", "largest difference of a probability", "records called otherwise", "s"]]
    answers += [
        [w.name, f"{w.records}", f"{w.difference:.1e}", f"{w.called_otherwise}", f"{w.seconds:.1f}"] for w in ways
    ]
    files = [["export of one ECG", "largest difference of a sample, mV", "of the embedding"]]
    files += [[name, f"{sample:.1e}", f"{embedding:.1e}"] for name, (sample, embedding) in exports.items()]
    tables = f"{as_markdown(answers)}\n\n{as_markdown(files)}"
    if words.docs:
        before, begin, rest = words.docs.read_text(encoding="utf-8").partition(BEGIN)
        _, end, after = rest.partition(END)
        if not end:
            parser.error(f"{words.docs}: has no markers {BEGIN} and {END}")
        words.docs.write_text(f"{before}{begin}\n\n{tables}\n\n{end}{after}", encoding="utf-8")
    print(tables)


if __name__ == "__main__":
    main()
