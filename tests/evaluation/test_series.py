"""Several trials in a table and a curve: means and deviations over seeds."""

import numpy as np
import pytest
from tests.evaluation.helpers import QUICK, results_of, table_of
from tests.factories import LABELS, SPLIT, write_labelled

from lfbt.evaluation.probing import run_probe
from lfbt.evaluation.settings import ProbeSettings


def test_series_table_has_means_and_deviations_over_seeds(run, data, checkpoint, tmp_path):
    settings = (
        QUICK
        | {"fraction": (0.3, 1.0), "seeds": (0, 2)}
        | {"data_dir": data, "checkpoint": checkpoint, "run_dir": tmp_path / "run"}
    )
    found = run_probe(ProbeSettings.create(**settings))
    assert [(results.fraction, results.seed) for results in found] == [(0.3, 0), (0.3, 2), (1, 0), (1, 2)]
    folders = [
        tmp_path / "run" / name
        for name in ("fraction-0.3-seed-0", "fraction-0.3-seed-2", "fraction-1-seed-0", "fraction-1-seed-2")
    ]
    assert found == [results_of(folder) for folder in folders]
    table = table_of(tmp_path / "run", "results.csv")
    assert list(table) == [
        "leads", "fraction", "training records", "seeds", "AUROC", "AUROC sd", "AUPRC", "AUPRC sd",
    ]  # fmt: skip
    assert table["leads"].tolist() == ["II,V1"] * 2
    assert table["fraction"].tolist() == [0.3, 1]
    assert table["seeds"].tolist() == [2, 2]
    assert table["training records"].tolist() == [results.data.training_records for results in found[::2]]
    for row, both in enumerate((found[:2], found[2:])):
        for name, key in (("AUROC", "auroc"), ("AUPRC", "auprc")):
            a, b = (getattr(results.test, key) for results in both)
            assert table.loc[row, name] == pytest.approx((a + b) / 2)
            assert table.loc[row, f"{name} sd"] == pytest.approx(abs(a - b) / np.sqrt(2))
    assert (table["AUROC sd"] > 0).any()
    assert (tmp_path / "run" / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_series_table_has_no_deviation_of_one_seed_and_no_mean_of_none(run, data, tmp_path):
    """A test of one record has nothing to score a class by."""
    keep = 37
    other = write_labelled(
        tmp_path / "data", signals=np.load(data / "signals.npy")[:keep], labels=LABELS[:keep], split=SPLIT[:keep]
    )
    table = table_of(run(data_dir=other, fraction=(0.5, 1.0)), "results.csv")
    assert table[["AUROC", "AUROC sd", "AUPRC", "AUPRC sd"]].isna().all(axis=None)
    table = table_of(run("whole", fraction=(0.5, 1.0)), "results.csv")
    assert table["AUROC"].notna().all()
    assert table["AUROC sd"].isna().all()
