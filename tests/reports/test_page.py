"""The report: what it shows is what the run folders hold, and what does not belong together is refused."""

import json
import shutil
from typing import Any

import pandas as pd
import pytest
from tests.helpers_model import waves, write_checkpoint, write_labelled, write_packed

from lfbt.errors import LfbtError
from lfbt.evaluation.probing import probe
from lfbt.evaluation.settings import ProbeSettings
from lfbt.reports.page import ReportSettings, open_run, report
from lfbt.training.pretraining import pretrain
from lfbt.training.settings import PretrainSettings


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A pretraining, a probe of a checkpoint and one of a random encoder, of the same data."""
    place = tmp_path_factory.mktemp("runs")
    data, checkpoint = write_labelled(place / "data"), write_checkpoint(place / "checkpoint")
    quick: dict[str, Any] = {"epochs": 2, "batch_size": 8, "device": "cpu"}
    probe(ProbeSettings.create(data, place / "probe", checkpoint=checkpoint, **quick))
    probe(ProbeSettings.create(data, place / "random", random_encoder=True, **quick))
    pretrain(PretrainSettings((data,), place / "pretrain", projector="8", **quick))
    return place


def results(folder):
    return json.loads((folder / "results.json").read_text())


def changed(runs, tmp_path, name, file, **changes):
    """A copy of run `name` whose JSON `file` has `changes`."""
    folder = tmp_path / name
    shutil.copytree(runs / name, folder)
    content = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(content | changes))
    return folder


def test_the_report_shows_what_the_runs_hold(runs, tmp_path):
    folders = tuple(runs / name for name in ("pretrain", "probe", "random"))
    page, table = report(ReportSettings(folders, tmp_path / "report"))
    assert sorted(path.name for path in page.parent.iterdir()) == ["overview.png", "report.html", "results.csv"]
    written = pd.read_csv(page.parent / "results.csv")
    pd.testing.assert_frame_equal(written, table, rtol=1e-12)
    assert written["run"].tolist() == ["probe", "random"]
    assert written["kind"].tolist() == ["linear probe", "linear probe of a random encoder"]
    for row, run in enumerate(("probe", "random")):
        test = results(runs / run)["test"]
        assert [written.loc[row, name] for name in ("AUROC", "AUPRC", "F1", "accuracy")] == pytest.approx(
            [test["auroc"], test["auprc"], test["f1"], test["accuracy"]], rel=1e-12
        )
        assert written.loc[row, "test records"] == test["records"]
    text = page.read_text()
    history = [json.loads(line) for line in (runs / "pretrain" / "history.jsonl").read_text().splitlines()]
    assert f"loss {history[0]['loss']:.1f} → {history[-1]['loss']:.1f}" in text
    for figures in results(runs / "probe")["test"]["per_class"].values():
        assert f"<td>{figures['auroc']:.4f}</td>" in text
    # One overview and a confusion matrix each, inside the file.
    assert text.count("data:image/png;base64,") == 3
    assert "SYNTHETIC" not in text


def test_synthetic_results_are_named_and_kept_apart(runs, tmp_path):
    made = changed(runs, tmp_path, "probe", "results.json", synthetic=True)
    page, _ = report(ReportSettings((made,), tmp_path / "report"))
    assert "SYNTHETIC data: these figures say nothing about real ECG" in page.read_text()
    with pytest.raises(LfbtError, match="is of synthetic data and others are of real data"):
        report(ReportSettings((made, runs / "random"), tmp_path / "both"))
    assert not (tmp_path / "both").exists()


def test_different_test_records_are_refused(runs, tmp_path):
    data = results(runs / "probe")["data"] | {"hash": "other"}
    other = changed(runs, tmp_path, "probe", "results.json", data=data)
    with pytest.raises(LfbtError, match="different data sets"):
        report(ReportSettings((other, runs / "random"), tmp_path / "report"))


def test_folds_and_the_test_split_are_reported_apart(runs, tmp_path):
    folds = changed(runs, tmp_path, "probe", "results.json", folds=4)
    with pytest.raises(LfbtError, match="some were tested on the test split and others in folds"):
        report(ReportSettings((folds, runs / "random"), tmp_path / "report"))


def test_what_is_no_whole_run_is_refused(runs, tmp_path):
    with pytest.raises(LfbtError, match=r"is no run folder \(it has no history\.jsonl\)"):
        open_run(tmp_path)
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "settings.json").write_text("{}")
    with pytest.raises(LfbtError, match="series has neither an epoch nor a finished trial yet"):
        open_run(tmp_path / "series")
    cut = tmp_path / "cut"
    shutil.copytree(runs / "pretrain", cut)
    (cut / "history.jsonl").write_text((cut / "history.jsonl").read_text()[:-20])
    with pytest.raises(LfbtError, match="cut is not whole"):
        open_run(cut)
    (cut / "history.jsonl").write_text("")
    with pytest.raises(LfbtError, match="has no epoch yet"):
        open_run(cut)
    with pytest.raises(LfbtError, match="none given"):
        report(ReportSettings((), tmp_path / "report"))


def test_a_class_without_test_records_has_no_figure(tmp_path):
    data = write_packed(
        tmp_path / "data", waves([0, 1, 2, 0, 1, 0, 1]), list("abcabab"), ["train"] * 3 + ["val"] * 2 + ["test"] * 2
    )
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    probe(ProbeSettings.create(data, tmp_path / "run", checkpoint=checkpoint, epochs=1, batch_size=4, device="cpu"))
    page, _ = report(ReportSettings((tmp_path / "run",), tmp_path / "report"))
    assert "No test record of c: left out of the means." in page.read_text()
