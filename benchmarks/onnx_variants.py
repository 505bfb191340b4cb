"""ONNX files with fewer bytes: what float16 weights and dynamic int8 change on real records.

    python -m benchmarks.onnx_variants --data ../shared/data --out onnx-variants

The bundled encoder with a logistic regression on PTB-XL's records 1 to 500, by `lfbt probe` with the official split.
AUROC is the mean over classes, of the records that the classifier was not trained on (validation and test) and of all;
the greatest change of a probability is that over all. A variant is offered if both means change by less than 0.002 and
the answer about a record does not depend on the others of its batch.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from benchmarks.measure import median_seconds
from lfbt.data.layouts import open_dataset
from lfbt.data.preparation import prepare_dataset
from lfbt.data.records import PrepareSettings
from lfbt.evaluation.probing import run_probe
from lfbt.evaluation.settings import ProbeSettings
from lfbt.inference.export import export
from lfbt.recording import STANDARD_LEADS
from lfbt.runs.encoder_folder import BUNDLED
from lfbt.sources import PtbXl
from lfbt.utils.tables import as_markdown

MOST_CHANGE = 0.002
_N_SAMPLES = 1024
_BATCH = 64


def write_variants(data: Path, out: Path) -> dict[str, Path]:
    """The ONNX files by the name of their variant; data set and run are made where they are absent."""
    import onnxruntime.quantization as quantization

    if not (out / "ptbxl").exists():
        settings = PrepareSettings(n_samples=_N_SAMPLES, leads=STANDARD_LEADS, workers=1)
        prepare_dataset(PtbXl(), "ptbxl", data / "ptbxl", out / "ptbxl", settings)
    if not (out / "probe").exists():
        run_probe(
            ProbeSettings.create(
                out / "ptbxl", out / "probe", checkpoint=BUNDLED, classifier="logistic", device="cpu", workers=1
            )
        )
    files = {name: out / f"{name}.onnx" for name in ("float32", "float16", "int8")}
    export(out / "probe", files["float32"], overwrite=True)
    export(out / "probe", files["float16"], variant="float16", overwrite=True)
    quantization.quantize_dynamic(files["float32"], files["int8"], op_types_to_quantize=["Conv", "Gemm"])
    return files


def probabilities_of(file: Path, signals: NDArray[np.float32], batch: int) -> NDArray[np.float32]:
    """Probabilities ``[records, classes]`` by onnxruntime itself, which takes operators that lfbt does not write."""
    session = _session(file)
    starts = range(0, len(signals), batch)
    return np.concatenate([session.run(["probabilities"], {"signals": signals[i : i + batch]})[0] for i in starts])


def macro_auroc(targets: NDArray[np.bool_], probabilities: NDArray[np.float32]) -> float:
    """The mean over the classes that have records on both sides."""
    known = [column for column in range(targets.shape[1]) if 0 < targets[:, column].sum() < len(targets)]
    return float(np.mean([roc_auc_score(targets[:, column], probabilities[:, column]) for column in known]))


def table(data: Path, out: Path) -> str:
    """The variants as Markdown."""
    files = write_variants(data, out)
    dataset = open_dataset(out / "ptbxl")
    signals, targets = dataset.batch(np.arange(len(dataset)), "none"), dataset.targets()
    held = np.concatenate([dataset.rows("val"), dataset.rows("test")])
    reference = probabilities_of(files["float32"], signals, 1)
    base = {"held": macro_auroc(targets[held], reference[held]), "all": macro_auroc(targets, reference)}
    of = [f"AUROC of {len(held)} held records", f"AUROC of all {len(signals)}"]
    changed = ["probability changes by", "depends on its batch by"]
    lines = [["variant", "MB", *of, *changed, "ms a record, one thread", "offered"]]
    for name, file in files.items():
        alone, together = (probabilities_of(file, signals, batch) for batch in (1, _BATCH))
        found = {"held": macro_auroc(targets[held], alone[held]), "all": macro_auroc(targets, alone)}
        of_batch = float(np.abs(alone - together).max())
        changes = {which: found[which] - base[which] for which in base}
        is_kept = max(map(abs, changes.values())) < MOST_CHANGE and of_batch < 1e-5
        session = _session(file)
        seconds = median_seconds(lambda: session.run(["probabilities"], {"signals": signals[:1]}), 50)  # noqa: B023
        lines.append(
            [name, f"{file.stat().st_size / 1e6:.2f}"]
            + [f"{found[which]:.4f} ({changes[which]:+.4f})" for which in base]
            + [f"{np.abs(alone - reference).max():.1e}", f"{of_batch:.1e}", f"{1e3 * seconds:.1f}"]
            + ["yes" if is_kept else "no"]
        )
    return as_markdown(lines)


def _session(file: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(file, options)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real recordings")
    parser.add_argument("--out", type=Path, required=True, help="folder for data set, run and files")
    arguments = parser.parse_args()
    print(table(arguments.data, arguments.out))


if __name__ == "__main__":
    main()
