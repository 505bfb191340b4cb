"""The probe of subsets of leads."""

import numpy as np
import pytest
from tests.evaluation.helpers import QUICK, assert_same_but_settings, results_of, table_of
from tests.factories import ROWS, write_checkpoint, write_labelled

import lfbt.evaluation.probing as probe_module
from lfbt.errors import LfbtError
from lfbt.evaluation.probing import run_probe
from lfbt.evaluation.settings import ProbeSettings


def counted(monkeypatch):
    """A list with an item for each time that the probe computes features."""
    compute, calls = vars(probe_module)["compute_embeddings"], []

    def counting(*args, **options):
        calls.append(args)
        return compute(*args, **options)

    monkeypatch.setattr(probe_module, "compute_embeddings", counting)
    return calls


def test_probe_of_subset_all_equals_one_without_subsets(run):
    subset, plain = run("subset", lead_subsets=(("all",),)), run("plain")
    for name in ("predictions.csv", "history.jsonl", "splits.csv", "X_test.npy"):
        assert (subset / name).read_bytes() == (plain / name).read_bytes()
    one, two = results_of(subset), results_of(plain)
    assert one.test == two.test
    assert (one.lead_subset, one.leads) == ("all", ["II", "V1"])
    assert (two.lead_subset, two.leads) == (None, ["II", "V1"])
    # The encoder is not that of a subset.
    assert not (subset / "encoder").exists()
    assert not (subset / "head").exists()


@pytest.mark.parametrize("subset", [("II",), ("V1",), ("V1", "II")], ids=",".join)
def test_probe_of_a_subset_takes_the_columns_of_its_leads(run, subset):
    """In its order; the z-score is that of all leads."""
    whole, part = run("whole"), run("part", lead_subsets=(subset,))
    columns = np.concatenate([np.arange(64) + 64 * ("II", "V1").index(lead) for lead in subset])
    for split in ROWS:
        x = np.load(whole / f"X_{split}.npy")
        np.testing.assert_array_equal(np.load(part / f"X_{split}.npy"), x[:, columns])
    assert results_of(part).leads == list(subset)


def test_probe_of_each_lead_and_of_named_subsets_are_trials(run, data, checkpoint, monkeypatch, tmp_path):
    """From one frozen pass for all of them."""
    calls = counted(monkeypatch)
    words = (("each",), ("limb",), ("chest",), ("all",), ("V1", "II"), ("II",))
    given = QUICK | {"data_dir": data, "checkpoint": checkpoint, "lead_subsets": words, "seeds": (0, 1)}
    found = run_probe(ProbeSettings.create(run_dir=tmp_path / "run", **given))
    assert len(calls) == 1
    expected = {"II": "II", "V1": "V1", "limb": "II", "chest": "V1", "all": "II,V1", "V1,II": "V1,II"}
    assert {results.lead_subset: ",".join(results.leads) for results in found} == expected
    assert len(found) == 12
    folder = tmp_path / "run"
    trials = {f"leads-{name.replace(',', '-')}-fraction-1-seed-{seed}" for name in expected for seed in (0, 1)}
    assert {path.name for path in folder.iterdir() if path.is_dir()} == trials
    for name, lead in (("limb", "II"), ("chest", "V1")):
        mine, its = (folder / f"leads-{word}-fraction-1-seed-1" / "predictions.csv" for word in (name, lead))
        assert mine.read_bytes() == its.read_bytes()
    alone = run("alone", lead_subsets=(("V1", "II"),), seeds=(1,))
    for path in alone.glob("[Xy]_*.npy"):
        path.unlink()
    assert_same_but_settings(folder / "leads-V1-II-fraction-1-seed-1", alone)
    table = table_of(folder, "results.csv")
    assert table["leads"].tolist() == list(expected)
    assert table["seeds"].tolist() == [2] * 6


def test_probe_computes_features_of_a_random_encoder_once_a_seed_and_fold(run, monkeypatch):
    calls = counted(monkeypatch)
    run(checkpoint=None, random_encoder=True, seeds=(0, 1), fraction=(0.5, 1.0), folds=3, lead_subsets=(("each",),))
    assert len(calls) == 2 * 3


def test_probe_of_subsets_of_chosen_leads_works_in_folds(run):
    folder = run(leads=("V1",), lead_subsets=(("all",), ("chest",)), folds=3)
    for name in ("all", "chest"):
        assert results_of(folder / f"leads-{name}-fraction-1-seed-0").leads == ["V1"]
    one, two = (folder / f"leads-{name}-fraction-1-seed-0" / "predictions.csv" for name in ("all", "chest"))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(
    ("subset", "message"),
    [
        (("limb",), "lead_subsets: limb: the encoder has V1,V2; name some of these, or each, limb, chest, all"),
        (("V9",), "lead_subsets: V9: the encoder has V1,V2; "),
        (("V1", "II"), "lead_subsets: V1,II: the encoder has V1,V2; "),
        (("each", "V1"), "lead_subsets: each,V1: the encoder has V1,V2; "),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_probe_refuses_subsets_of_missing_leads(run, tmp_path, subset, message):
    place = {"data_dir": write_labelled(tmp_path / "d", leads=("V1", "V2")), "leads": ("V1", "V2")}
    with pytest.raises(LfbtError, match=message):
        run(**place, checkpoint=write_checkpoint(tmp_path / "c", ("V1", "V2")), lead_subsets=(("each",), subset))
    assert not (tmp_path / "run").exists()
