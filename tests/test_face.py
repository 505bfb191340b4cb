"""The public face: its names, how fast it is imported, and the README's example."""

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lfbt
from lfbt.errors import LfbtError
from lfbt.models.encoder import EncoderConfig, random_encoder
from lfbt.models.pretrained import save_encoder
from lfbt.runs.loading import ClassifierRun

ROOT = Path(__file__).resolve().parents[1]
NAMES = (
    "Classifier", "ECGClassifier", "ECGEmbedder", "Encoder", "FinishedError", "LFBTLoss", "LfbtError", "Recording",
    "StoppedError", "UnreadableError", "compare", "embed", "export", "finetune", "load_classifier", "load_encoder",
    "load_run", "open_dataset", "predict", "prepare", "pretrain", "probe", "random_views", "read",
)  # fmt: skip


def test_face_has_these_names_and_no_others():
    assert tuple(lfbt.__all__) == NAMES
    assert set(NAMES) <= set(dir(lfbt))


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_there_and_documented(name):
    found = getattr(lfbt, name)
    assert found.__name__ == name
    text = inspect.getdoc(found)
    assert text is not None
    if inspect.isfunction(found):
        assert re.search("^Examples\n-+\n(?:.*\n)*?>>> (?!.*SKIP)", text, re.MULTILINE), "an example that runs"
        for section in ("Parameters", "Returns", "Raises"):
            assert f"{section}\n---" in text or (section == "Raises" and name == "random_views"), section


def test_import_is_fast_and_free_of_torch():
    code = (
        "import sys, time; began = time.perf_counter(); import lfbt; seconds = time.perf_counter() - began; "
        "print(seconds, [name for name in ('torch', 'numpy', 'pandas', 'scipy') if name in sys.modules])"
    )
    seconds = []
    for _ in range(5):
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        value, imported = out.split(maxsplit=1)
        assert imported.strip() == "[]"
        seconds.append(float(value))
    # The best of five: what else the machine does must not count.
    assert min(seconds) < 0.3


def test_readme_examples_run(tmp_path, monkeypatch, capsys):
    first, own = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[:2]
    lines = [line for line in first.splitlines() if line.strip() and not line.startswith("import")]
    assert len(lines) <= 5
    monkeypatch.chdir(tmp_path)
    # Small enough for a test: the same calls on fewer records, and for one epoch.
    quick = first.replace("n_samples=1024", "n_samples=1024, records=100, workers=1")
    own_quick = own.replace("epochs=5", 'epochs=1, projector="16-16", device="cpu"')
    assert quick != first
    assert own_quick != own
    names: dict[str, object] = {}
    exec(compile(quick, "README.md", "exec"), names)
    auroc, interval = re.findall(r"[\d.]+|\(.*\)", capsys.readouterr().out)
    assert 0 <= float(auroc) <= 1
    assert interval.startswith("(")
    embeddings = names["embeddings"]
    assert isinstance(embeddings, np.ndarray)
    assert embeddings.shape == (len(lfbt.open_dataset("data/synthetic")), 12 * 64)
    exec(compile(own_quick, "README.md", "exec"), names)
    assert lfbt.load_encoder("runs/pretrain").config.leads == lfbt.load_encoder("lfbt-small").config.leads


def test_prepare_in_processes_works_in_a_script_without_a_guard(tmp_path):
    """Processes that are started import the script that starts them, which must not run again."""
    call = 'lfbt.prepare("synthetic", "download", "data", records=60, n_samples=64, workers=2)'
    (tmp_path / "script.py").write_text(f"import lfbt\nprint({call}.records)\n")
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 0


# --- texts and paths, arrays and recordings ---


@pytest.fixture
def encoder(tmp_path):
    model = random_encoder(EncoderConfig(("II", "V1"), 100, 1000), seed=0)
    save_encoder(tmp_path / "encoder", model, {})
    return tmp_path / "encoder"


@pytest.fixture
def ecg(tmp_path):
    """Ten seconds of two leads at 500 Hz, in memory and in a file."""
    signal = np.random.default_rng(0).standard_normal((2, 5000)).astype(np.float32)
    np.save(tmp_path / "ecg.npy", signal)
    return signal


def test_embed_takes_arrays_recordings_and_files_alike(encoder, ecg, tmp_path):
    about: dict[str, Any] = {"leads": "II,V1", "sampling_rate": 500}
    of_array = lfbt.embed(ecg, str(encoder), **about)
    of_file = lfbt.embed(str(tmp_path / "ecg.npy"), encoder, **about)
    recording = lfbt.read(tmp_path / "ecg.npy", **about)
    of_recordings = lfbt.embed([recording, recording], lfbt.load_encoder(encoder))
    assert of_array.shape == (1, 128)
    assert np.array_equal(of_array, of_file)
    assert np.array_equal(of_recordings, np.concatenate([of_array, of_array]))


def test_embed_refuses_what_is_not_stated_or_stated_twice(encoder, ecg, tmp_path):
    with pytest.raises(LfbtError, match="an array states neither leads nor sampling rate"):
        lfbt.embed(ecg, encoder)
    recording = lfbt.read(tmp_path / "ecg.npy", leads=("II", "V1"), sampling_rate=500)
    with pytest.raises(LfbtError, match="recordings and data sets state their leads"):
        lfbt.embed(recording, encoder, sampling_rate=250)
    with pytest.raises(LfbtError, match="recordings and other things are mixed"):
        lfbt.embed([recording, ecg], encoder)


def test_settings_are_keyword_arguments(tmp_path):
    with pytest.raises(LfbtError, match="epoch: is no setting; did you mean epochs"):
        lfbt.pretrain(tmp_path, tmp_path / "run", epoch=3)
    with pytest.raises(LfbtError, match=r"gamma: 2 is outside \[0, 1\]"):
        lfbt.pretrain(str(tmp_path), str(tmp_path / "run"), gamma=2)
    with pytest.raises(LfbtError, match="epochs: '3' is not a whole number"):
        lfbt.pretrain(tmp_path, tmp_path / "run", epochs="3")
    with pytest.raises(LfbtError, match="preset: 'tiny' is not one of paper, small"):
        lfbt.pretrain(tmp_path, tmp_path / "run", preset="tiny")
    with pytest.raises(LfbtError, match="give either --checkpoint, or --random-encoder"):
        lfbt.probe(tmp_path, tmp_path / "run")
    with pytest.raises(LfbtError, match="source: 'ptx' is not one of ptbxl"):
        lfbt.prepare("ptx", tmp_path, tmp_path / "data")
    assert not (tmp_path / "run").exists()


def test_a_trial_is_loaded_and_a_series_names_its_trials(tmp_path):
    lfbt.prepare("synthetic", tmp_path / "download", tmp_path / "data", records=100, n_samples=64, workers=1)
    quick: dict[str, Any] = {"random_encoder": True, "epochs": 1, "device": "cpu"}
    (results,) = lfbt.probe(tmp_path / "data", tmp_path / "one", **quick)
    run = lfbt.load_run(tmp_path / "one")
    assert isinstance(run, ClassifierRun)
    assert run.results == results
    lfbt.probe(tmp_path / "data", tmp_path / "two", seeds=[0, 1], **quick)
    with pytest.raises(LfbtError, match=r"is a series of 2 trials; load one of them, such as .*seed-0"):
        lfbt.load_run(tmp_path / "two")
    table = lfbt.compare([tmp_path / "one", tmp_path / "two"], draws=50)
    assert table["run"].tolist() == ["one", "two"]
    assert table["auroc"].notna().all()


# --- values of another type ---

NO_PATHS: Any = (None, 3, [], b"data", "")


@pytest.mark.parametrize("value", NO_PATHS, ids=repr)
@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lfbt.read, "path"),
        (lfbt.open_dataset, "data_dir"),
        (lfbt.load_encoder, "checkpoint"),
        (lfbt.load_run, "run"),
        (lambda value: lfbt.prepare("synthetic", value, "data"), "folder"),
        (lambda value: lfbt.prepare("synthetic", "download", value), "target"),
        (lambda value: lfbt.pretrain("data", value), "run_dir"),
        (lambda value: lfbt.probe(value, "run", "encoder"), "data_dir"),
        (lambda value: lfbt.finetune("data", value, "encoder"), "run_dir"),
        (lambda value: lfbt.compare([value]), "runs"),
        (lambda value: lfbt.embed(np.zeros((1, 5)), value, leads="II", sampling_rate=1), "encoder"),
    ],
    ids=[
        "read",
        "open_dataset",
        "load_encoder",
        "load_run",
        "prepare-from",
        "prepare-to",
        "pretrain",
        "probe",
        "finetune",
        "compare",
        "embed",
    ],
)
def test_paths_of_another_type_are_refused_by_name(function, name, value):
    with pytest.raises(LfbtError, match=rf"^{name}: .* is not a path"):
        function(value)


@pytest.mark.parametrize("changes", [{"sampling_rate": "500"}, {"sampling_rate": True}, {"leads": 3}, {"unit": 3}])
def test_read_refuses_values_of_another_type(ecg, tmp_path, changes):
    given: dict[str, Any] = {"leads": "II,V1", "sampling_rate": 500} | changes
    with pytest.raises(LfbtError, match=f"^{next(iter(changes))}: "):
        lfbt.read(tmp_path / "ecg.npy", **given)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"leads": 3}, "leads: 3 is not a text"),
        ({"leads": b"II"}, "leads: b'II' is not a text"),
        ({"leads": [3] * 8}, "leads: 3 is not a text"),
        ({"sampling_rate": "x"}, "sampling_rate: 'x' is not a number"),
        ({"unit": 3}, "unit: 3 is not a voltage"),
        ({"device": None}, "device: None cannot be used"),
        ({"x": ""}, "embed: '' is not a path"),
        ({"x": None}, "signals: object is not a type of real numbers"),
        ({"x": np.ma.masked_array(np.zeros((2, 5000)))}, "signals: a masked array, whose mask would be ignored"),
        ({"x": [[np.ma.masked_array(np.zeros(5000))] * 2]}, "signals: a masked array, whose mask would be ignored"),
        ({"x": ["a.npy", 3]}, "file a.npy: does not exist"),
        ({"x": [3, "a.npy"]}, "embed: 3 is not a path, as others in the list are; give paths only, or none"),
        ({"x": (one for one in (1, 2))}, "embed: an iterator is not taken; give a list of recordings or of paths"),
        ({"encoder": None}, "encoder: None is not a path, or what lfbt.load_encoder returns"),
        ({"encoder": torch.nn.Linear(2, 2)}, r"encoder: Linear\(.*\) is not a path, or what lfbt.load_encoder returns"),
    ],
)
def test_embed_refuses_values_of_another_type(ecg, encoder, changes, message):
    given: dict[str, Any] = {"x": ecg, "encoder": encoder, "leads": "II,V1", "sampling_rate": 500} | changes
    with pytest.raises(LfbtError, match=f"^{message}"):
        lfbt.embed(**given)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_embed_takes_tensors_with_gradients_and_encoders_of_any_precision(ecg, encoder, dtype):
    about: dict[str, Any] = {"leads": "II,V1", "sampling_rate": np.int64(500), "device": torch.device("cpu")}
    tensor = torch.from_numpy(ecg).to(dtype).requires_grad_()
    expected = lfbt.embed(tensor.detach().double().numpy(), encoder, **about)
    assert np.array_equal(lfbt.embed(tensor, encoder, **about), expected)
    model = lfbt.load_encoder(encoder).double()
    of_double = lfbt.embed(tensor, model, **about)
    assert of_double.dtype == np.float32
    assert np.array_equal(of_double, expected)
    assert next(model.parameters()).dtype == torch.float64


def test_what_is_given_by_position_is_not_given_by_name_too():
    with pytest.raises(LfbtError, match=r"^data_dir: 'x' is given by name, but 'data' by position"):
        lfbt.pretrain("data", "run", data_dir="x")
    with pytest.raises(LfbtError, match=r"^data_dir: 'x' is given by name"):
        lfbt.probe("data", "run", random_encoder=True, data_dir="x")
    with pytest.raises(LfbtError, match=r"^checkpoint: 'x' is given by name, but None by position"):
        lfbt.finetune("data", "run", checkpoint="x")


def test_presets_and_projectors_of_another_type_are_refused(tmp_path):
    with pytest.raises(LfbtError, match=r"^preset: \[\] is not one of paper, small$"):
        lfbt.pretrain(tmp_path, tmp_path / "run", preset=[])  # type: ignore[arg-type]
    with pytest.raises(LfbtError, match=r"^projector: \[8, 8\] is not layer sizes such as 2048-2048-2048$"):
        lfbt.pretrain(tmp_path, tmp_path / "run", projector=[8, 8])


def test_compare_takes_one_path(tmp_path):
    with pytest.raises(LfbtError, match=f"^run: {tmp_path / 'one run'} does not exist"):
        lfbt.compare(str(tmp_path / "one run"))
    with pytest.raises(LfbtError, match=r"^runs: None is not a path$"):
        lfbt.compare(None)  # type: ignore[arg-type]


def test_settings_without_effect_are_refused(tmp_path):
    with pytest.raises(LfbtError, match=r"^c: has no effect with classifier adam, only with logistic; leave it out$"):
        lfbt.probe(tmp_path, tmp_path / "run", random_encoder=True, c=1)
    with pytest.raises(LfbtError, match=r"^epochs: has no effect with classifier knn, only with adam"):
        lfbt.probe(tmp_path, tmp_path / "run", random_encoder=True, classifier="knn", epochs=3)
    with pytest.raises(LfbtError, match=r"^gamma: has no effect with objective simclr, only with lfbt"):
        lfbt.pretrain(tmp_path, tmp_path / "run", objective="simclr", gamma=1)
