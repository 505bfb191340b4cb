"""The report: it shows what the run folders hold, escaped, and refuses runs that do not belong together."""

import base64
import dataclasses
import hashlib
import importlib.resources
import json
import re
import shutil
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.factories import waves, write_checkpoint, write_labelled, write_packed

from lfbt.errors import LfbtError
from lfbt.evaluation.probing import run_probe
from lfbt.evaluation.settings import ProbeSettings
from lfbt.reports.page import ReportSettings, report
from lfbt.reports.run_list import list_runs
from lfbt.runs.results import EncoderOrigin, Results
from lfbt.runs.run_folder import RunSettings
from lfbt.training.pretraining import Pretrainer
from lfbt.training.settings import PretrainSettings

TEMPLATES = importlib.resources.files("lfbt.reports") / "templates"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A pretraining, a probe of a checkpoint and one of a random encoder, of the same data."""
    place = tmp_path_factory.mktemp("runs")
    data, checkpoint = write_labelled(place / "data"), write_checkpoint(place / "checkpoint")
    quick: dict[str, Any] = {"epochs": 2, "batch_size": 8, "device": "cpu"}
    run_probe(ProbeSettings.create(data, place / "probe", checkpoint=checkpoint, **quick))
    run_probe(ProbeSettings.create(data, place / "random", random_encoder=True, **quick))
    Pretrainer(PretrainSettings.create((data,), place / "pretrain", projector="8", **quick)).run()
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


def test_damaged_part_is_a_line_in_its_section_and_the_others_are_made(runs, tmp_path):
    shutil.copytree(runs / "data", tmp_path / "data")
    (tmp_path / "data" / "people.csv").write_text("id,sex,age\nr0,x,inf\n")
    folder = tmp_path / "probe"
    shutil.copytree(runs / "probe", folder)
    for name in ("results.json", "settings.json"):
        if (folder / name).is_file():
            (folder / name).write_text((folder / name).read_text().replace(str(runs / "data"), str(tmp_path / "data")))
    page, _ = report(ReportSettings((folder,), tmp_path / "report"))
    text = page.read_text()
    assert "This section could not be made." in text
    assert "people.csv: is no table of id, sex and age" in text
    assert "<h2" in text[text.index("This section could not be made.") :]
    assert "ROC curves of probe" in text


def test_report_shows_what_the_runs_hold(runs, tmp_path):
    folders = tuple(runs / name for name in ("pretrain", "probe", "random"))
    page, table = report(ReportSettings(folders, tmp_path / "report"))
    names = sorted(path.name for path in page.parent.iterdir())
    assert names == ["report.html", "report.json", "results.csv"]
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
    for run in ("probe", "random"):
        assert f"Confusion matrix of {run}</caption>" in text
    sections = re.findall('<section id="([a-z]+)">', text)
    assert sections == ["glance", "data", "views", "learning", "results", "errors", "map", "why"]
    assert "SYNTHETIC" not in text


def test_report_names_synthetic_data_and_refuses_to_mix_it(runs, tmp_path):
    synthetic = changed(runs, tmp_path, "probe", "results.json", synthetic=True)
    page, _ = report(ReportSettings((synthetic,), tmp_path / "report"))
    assert "SYNTHETIC data: these figures say nothing about real ECG" in page.read_text()
    with pytest.raises(LfbtError, match=r"probe is of synthetic data and .*random is of real data; report them apart"):
        report(ReportSettings((synthetic, runs / "random"), tmp_path / "both"))
    assert not (tmp_path / "both").exists()


def test_report_refuses_different_data_sets(runs, tmp_path):
    data_hash = results(runs / "probe")["data"]["hash"]
    data = results(runs / "probe")["data"] | {"hash": "other"}
    other = changed(runs, tmp_path, "probe", "results.json", data=data)
    both = rf"{other} on data \(other\), {runs / 'random'} on data \({data_hash[:8]}\); report them apart$"
    with pytest.raises(LfbtError, match=f"^runs: they were tested on different data sets: {both}"):
        report(ReportSettings((other, runs / "random"), tmp_path / "report"))


def test_report_refuses_to_mix_folds_and_test_split(runs, tmp_path):
    folds = changed(runs, tmp_path, "probe", "results.json", folds=4)
    with pytest.raises(LfbtError, match="some were tested on the test split and others in folds"):
        report(ReportSettings((folds, runs / "random"), tmp_path / "report"))


def test_report_refuses_to_be_without_runs(tmp_path):
    with pytest.raises(LfbtError, match="none given"):
        report(ReportSettings((), tmp_path / "report"))


@pytest.mark.parametrize(
    ("name", "file"), [("probe", "results.json"), ("pretrain", "settings.json"), ("pretrain", "history.jsonl")]
)
def test_report_names_a_corrupt_file(runs, tmp_path, name, file):
    folder = tmp_path / name
    shutil.copytree(runs / name, folder)
    (folder / file).write_text("[]\n")
    with pytest.raises(LfbtError, match=f"{folder / file}: "):
        report(ReportSettings((folder,), tmp_path / "report"))
    assert not (tmp_path / "report").exists()


def without_own_script(page):
    """The page without the script of the template, which it has once."""
    own = f"<script>{TEMPLATES.joinpath('report.js').read_text()}</script>"
    text = page.read_text()
    assert text.count(own) == 1
    return text.replace(own, "")


SCRIPT = "<script>alert('&')</script>"


def with_scripts(value):
    """Every text in `value`, keys included, after a script."""
    if isinstance(value, dict):
        return {with_scripts(key): with_scripts(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [with_scripts(item) for item in value]
    return SCRIPT + value if isinstance(value, str) else value


def test_report_escapes_every_text_of_a_classifier(runs, tmp_path):
    results = Results.load(runs / "probe")
    per_class = {SCRIPT + name: scores for name, scores in results.test.per_class.items()}
    hostile = dataclasses.replace(
        results,
        **{name: SCRIPT + getattr(results, name) for name in ("kind", "lfbt_version", "classifier")},
        **{name: with_scripts(getattr(results, name)) for name in ("leads", "settings", "chosen")},
        lead_subset=SCRIPT,
        data=dataclasses.replace(results.data, folder=SCRIPT, hash=SCRIPT, classes=with_scripts(results.data.classes)),
        encoder=EncoderOrigin(SCRIPT, with_scripts(results.encoder.history)),
        test=dataclasses.replace(results.test, absent_classes=[SCRIPT], per_class=per_class),
    )
    folder = tmp_path / "<script>probe"
    folder.mkdir()
    hostile.save(folder)
    page, _ = report(ReportSettings((folder,), tmp_path / "report"))
    text = without_own_script(page)
    assert "<script" not in text
    # The name of the run, its kind, leads, encoder, chosen settings, classes and absent classes are all there.
    assert len(re.findall("&lt;script&gt;", text)) >= 7 + len(per_class)


@pytest.mark.parametrize("objective", ["lfbt", SCRIPT])
def test_report_escapes_every_setting_of_a_pretraining(runs, tmp_path, objective):
    folder = tmp_path / "<script>pretrain"
    shutil.copytree(runs / "pretrain", folder)
    settings = RunSettings.load(folder)
    hostile = dict.fromkeys(settings.settings, SCRIPT) | {"objective": objective}
    dataclasses.replace(settings, settings=hostile, data_hash=SCRIPT, lfbt_version=SCRIPT).save(folder)
    page, _ = report(ReportSettings((folder,), tmp_path / "report"))
    text = without_own_script(page)
    assert "<script" not in text
    for name in ("preset", "objective", "batch", "projector"):
        assert re.search(f"{name} (lfbt, γ )?&lt;script&gt;", text)


@pytest.mark.parametrize(
    ("name", "file", "field"),
    [("pretrain", "settings.json", "records"), ("probe", "results.json", "folds"), ("probe", "results.json", "seed")],
)
def test_report_refuses_text_in_place_of_a_number(runs, tmp_path, name, file, field):
    folder = changed(runs, tmp_path, name, file, **{field: SCRIPT})
    with pytest.raises(LfbtError, match=f"{file}: field {field}: "):
        report(ReportSettings((folder,), tmp_path / "report"))


def test_report_names_a_class_without_test_records(tmp_path):
    data = write_packed(
        tmp_path / "data", waves([0, 1, 2, 0, 1, 0, 1]), list("abcabab"), ["train"] * 3 + ["val"] * 2 + ["test"] * 2
    )
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    run_probe(ProbeSettings.create(data, tmp_path / "run", checkpoint=checkpoint, epochs=1, batch_size=4, device="cpu"))
    page, _ = report(ReportSettings((tmp_path / "run",), tmp_path / "report"))
    assert "No test record of c: left out of the means." in page.read_text()


def test_report_has_means_without_rare_classes_and_says_how_many_are_shown(tmp_path):
    labels = ["a"] * 12 + ["b"] * 11 + ["c"] * 3
    signals = waves(["abc".index(label) for label in labels] * 3)
    split = [name for name in ("train", "val", "test") for _ in labels]
    data = write_packed(tmp_path / "data", signals, labels * 3, split)
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    (found,) = run_probe(
        ProbeSettings.create(data, tmp_path / "run", checkpoint=checkpoint, epochs=1, batch_size=4, device="cpu")
    )
    page, table = report(ReportSettings((tmp_path / "run",), tmp_path / "report"))
    assert found.test.rare_classes == ["c"]
    assert found.val is not None
    assert found.test.intervals is not None
    bounds = found.test.intervals.without_rare
    assert bounds is not None
    assert bounds.auprc is not None
    expected = np.mean([found.test.per_class[name].auroc for name in "ab"])
    assert table["AUROC without c"].tolist() == pytest.approx([expected])
    low, high = bounds.auprc
    assert table["AUPRC without c interval"].tolist() == [f"[{low:.3f}, {high:.3f}]"]
    assert "1 row in the table. Intervals are of each by itself, not adjusted" in page.read_text()
    (run,) = (run for run in list_runs(tmp_path) if run.kind == "probe")
    assert found.val is not None
    val = found.val.without_rare("auroc")
    assert run.quality == f"val AUROC {found.val.auroc:.4f} ({val:.4f} without c)"


HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onload='alert(1)")


#: The elements of the template, and the attributes that they may have.
OWN_ELEMENTS = {
    "html": {"lang"}, "meta": {"charset", "http-equiv", "content", "name"}, "a": {"href"}, "nav": {"aria-label"},
    "p": {"class"}, "section": {"id"},
    "dd": {"class", "tabindex"}, "details": {"open"}, "table": {"class", "data-name"},
    "div": {"class", "tabindex", "role", "aria-label"}, "th": {"scope", "class"}, "td": {"class"}, "tr": {"class"},
    "svg": {"class", "viewbox", "role", "aria-hidden", "xmlns", "width", "height"}, "ul": {"class"},
    "text": {"class", "x", "y", "text-anchor", "transform"}, "path": {"class", "d", "data-lead"},
    "rect": {"class", "width", "height", "x", "y", "opacity"},
} | {
    tag: set()
    for tag in (
        *("head", "title", "style", "body", "header", "h1", "h2", "h3", "ol", "li", "main", "dl", "dt", "caption"),
        *("thead", "tbody", "figure", "figcaption", "summary", "footer", "script"),
    )
}  # fmt: skip


def elements_of(page):
    """The elements of a page, each with the name of every attribute, and with None."""
    found = set()

    class Parser(HTMLParser):
        def handle_starttag(self, tag, attrs):
            found.update({(tag, name) for name, _ in attrs} | {(tag, None)})

    Parser().feed(page)
    return found


def places_in(value, place=()):
    """Each place in JSON, of a list and of a table by class those of its first item."""
    if place:
        yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items)[: 1 if place[-1:] in (("per_class",), ("train",), ("val",)) else None]:
        if not (isinstance(value, list) and key):
            yield from places_in(item, (*place, key))


def put(value, place, new):
    """`value` with `new` at a place."""
    if not place:
        return new
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[place[0]] = put(value[place[0]], place[1:], new)
    return changed


@pytest.mark.parametrize(
    ("name", "file"), [("probe", "results.json"), ("pretrain", "settings.json"), ("pretrain", "history.jsonl")]
)
def test_report_has_no_markup_of_any_field(runs, tmp_path, monkeypatch, name, file):
    """A text in every place of a received run folder, one at a time: it is escaped, or refused by file."""
    # ECGs are as they are without it, and take most of the time.
    monkeypatch.setattr("lfbt.reports.data.draw_ecg", lambda recording, spans, standalone: "")
    monkeypatch.setattr("lfbt.reports.page.load_best", lambda material, with_head: "Not loaded")
    text = (runs / name / file).read_text()
    first, *others = text.splitlines() if file.endswith("l") else [text]
    shutil.copytree(runs / name, tmp_path / "run")
    n_shown, refused = 0, []
    for place in places_in(json.loads(first)):
        content = put(json.loads(first), place, "".join(HOSTILE))
        (tmp_path / "run" / file).write_text("\n".join([json.dumps(content), *others]) + "\n")
        try:
            page, _ = report(ReportSettings((tmp_path / "run",), tmp_path / "report"))
        except LfbtError as error:
            refused.append(str(error))
            continue
        written = page.read_text()
        n_shown += "&lt;script&gt;" in written
        assert {tag for tag, _ in elements_of(written)} <= set(OWN_ELEMENTS)
        assert all(name is None or name in OWN_ELEMENTS[tag] for tag, name in elements_of(written))
        shutil.rmtree(tmp_path / "report")
    assert all(f"{file}: " in message for message in refused)
    assert n_shown >= (0 if file == "history.jsonl" else 3)


def test_report_has_a_policy_that_loads_nothing_and_runs_its_own_script_only(runs, tmp_path):
    page, _ = report(ReportSettings((runs / "probe",), tmp_path / "report"))
    text = page.read_text()
    (policy,) = re.findall('<meta http-equiv="Content-Security-Policy" content="([^"]*)">', text)
    own = {}
    for tag in ("style", "script"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        own[tag] = f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
    directives = dict(part.split(" ", 1) for part in policy.split("; "))
    assert directives == {
        "default-src": "'none'",
        "style-src": own["style"],
        "script-src": own["script"],
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert text.index("<meta http-equiv") < text.index("<style>")
    assert not re.findall(r"src=|https?://(?!www\.w3\.org/2000/svg)|url\(|@import|<link| style=| on[a-z]+=", text)


@pytest.mark.parametrize(("field", "value"), [("seed", -1), ("fraction", 0), ("fraction", 1e308)])
def test_results_out_of_range_are_refused_by_field(runs, tmp_path, field, value):
    folder = changed(runs, tmp_path, "probe", "results.json", **{field: value})
    with pytest.raises(LfbtError, match=f"results.json: field {field}: .* is outside .*; run it again with this lfbt"):
        Results.load(folder)


@pytest.mark.parametrize("matrix", [[], [[1]], [None] * 3, [["a"] * 3] * 3, [[10**30] * 3] * 3, [[-1] * 3] * 3])
def test_a_confusion_matrix_that_is_none_is_refused_by_field(runs, tmp_path, matrix):
    test = results(runs / "probe")["test"] | {"confusion_matrix": matrix}
    folder = changed(runs, tmp_path, "probe", "results.json", test=test)
    with pytest.raises(LfbtError, match=r"results.json: field test.confusion_matrix: is not 3 rows of 3 numbers"):
        report(ReportSettings((folder,), tmp_path / "report"))
