"""Data sets: the packed one, the authors' folders, arrays in memory, several joined; and what is wrong with others."""

import csv
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfbt.data.dataset import check_n_leads, from_arrays, open_dataset, open_datasets
from lfbt.data.npy_folders import _natural
from lfbt.errors import LfbtError
from lfbt.recording import PAPER_LEADS, STANDARD_LEADS

LEADS = ("II", "V1", "V5")
COLUMNS = ("id", "patient", "labels", "split")
ROWS = [
    ("r0", "p0", "MI", "train"),
    ("NA", "p1", "NORM", "val"),
    ("r2", "p0", "MI;CD", "train"),
    ("r3", "p2", "", "test"),
]


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def write_packed(folder, signals=None, rows=ROWS, **changes):
    """A packed data set written by hand, as docs/data.md describes it; the signals are returned."""
    folder.mkdir(parents=True, exist_ok=True)
    signals = noise(len(rows), len(LEADS), 64) if signals is None else signals
    np.save(folder / "signals.npy", signals)
    with (folder / "records.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    manifest = {"leads": LEADS, "sampling_rate": 6.4, "classes": ["NORM", "MI", "CD"], "hash": "abc", **changes}
    (folder / "dataset.json").write_text(json.dumps({k: v for k, v in manifest.items() if v is not None}))
    return signals


def write_npy(folder, *names, leads=8, samples=64):
    """``.npy`` files with the number of the file in every value."""
    for number, name in enumerate(names):
        path = folder / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.full((leads, samples), number, dtype=np.float32))


def z(signal, axis=None):
    """The z-score of one record in float64."""
    signal = signal.astype(np.float64)
    return (signal - signal.mean(axis, keepdims=True)) / (signal.std(axis, keepdims=True) + 1e-5)


# --- packed ---


def test_a_packed_data_set_is_read_as_written(tmp_path):
    signals = write_packed(tmp_path)
    dataset = open_dataset(tmp_path)
    assert (len(dataset), dataset.leads, dataset.n_samples, dataset.sampling_rate) == (4, LEADS, 64, 6.4)
    assert dataset.ids == ("r0", "NA", "r2", "r3")
    assert dataset.patients == ("p0", "p1", "p0", "p2")
    assert dataset.labels == (("MI",), ("NORM",), ("MI", "CD"), ())
    assert dataset.split.tolist() == ["train", "val", "train", "test"]
    assert dataset.classes == ("NORM", "MI", "CD")
    assert (dataset.hash, dataset.synthetic, dataset.names_assumed) == ("abc", False, False)
    assert isinstance(dataset.signals, np.memmap)
    np.testing.assert_array_equal(dataset.batch(np.arange(4), "none"), signals)


def test_rows_are_those_of_the_splits_in_order(tmp_path):
    write_packed(tmp_path)
    dataset = open_dataset(tmp_path)
    assert dataset.rows("train").tolist() == [0, 2]
    assert dataset.rows("test", "val").tolist() == [1, 3]
    assert dataset.rows().tolist() == []


@pytest.mark.parametrize("how", ["record", "lead", "none"])
def test_a_batch_holds_the_rows_asked_for_normalised(tmp_path, how):
    signals = write_packed(tmp_path)
    rows = np.array([3, 0, 3])
    expected = [signals[row] if how == "none" else z(signals[row], None if how == "record" else 1) for row in rows]
    batch = open_dataset(tmp_path).batch(rows, how)
    assert batch.dtype == np.float32
    np.testing.assert_allclose(batch, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("leads", [("V5",), ("V5", "II"), ("V1", "V5", "II")])
def test_selected_leads_are_taken_by_name_and_normalised_among_themselves(tmp_path, leads):
    signals = write_packed(tmp_path)
    chosen = open_dataset(tmp_path).select_leads(leads)
    rows = [LEADS.index(lead) for lead in leads]
    assert (chosen.leads, len(chosen)) == (leads, 4)
    np.testing.assert_array_equal(chosen.batch(np.arange(4), "none"), signals[:, rows])
    np.testing.assert_allclose(chosen.batch(np.array([2]), "record")[0], z(signals[2, rows]), rtol=0, atol=1e-5)


def test_selecting_twice_selects_from_the_selection(tmp_path):
    signals = write_packed(tmp_path)
    once = open_dataset(tmp_path).select_leads(("V5", "II"))
    np.testing.assert_array_equal(once.select_leads(("II",)).batch(np.array([1]), "none"), signals[1:2, :1])
    with pytest.raises(LfbtError, match=r"^lead V1,V9: not in the data set .*, which has V5,II$"):
        once.select_leads(("V1", "V9"))


def test_targets_are_the_classes_that_records_have(tmp_path):
    write_packed(tmp_path, rows=[("a", "1", "CD", "train"), ("b", "2", "NORM", "val"), ("c", "3", "CD", "test")])
    dataset = open_dataset(tmp_path)
    assert dataset.exclusive
    assert dataset.targets().tolist() == [[False, False, True], [True, False, False], [False, False, True]]
    write_packed(tmp_path / "several", rows=[("a", "1", "CD;NORM", "train"), ("b", "2", "NORM", "val")])
    dataset = open_dataset(tmp_path / "several")
    assert not dataset.exclusive
    assert dataset.targets().tolist() == [[True, False, True], [True, False, False]]


def test_targets_need_a_label_a_record_and_two_classes(tmp_path):
    write_packed(tmp_path / "none", rows=[ROWS[3]])
    with pytest.raises(LfbtError, match="record r3 has no label"):
        open_dataset(tmp_path / "none").targets()
    for classes in (["MI"], []):
        label = "MI" if classes else ""
        write_packed(tmp_path / "few", rows=[("r0", "p0", label, "train")], classes=classes)
        with pytest.raises(LfbtError, match=f"{len(classes)} class.*needs two or more: prepare it with a label rule"):
            open_dataset(tmp_path / "few").targets()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_record_that_is_not_finite_is_named(tmp_path, value):
    signals = noise(4, 3, 64)
    signals[2, 1, 5] = value
    write_packed(tmp_path, signals)
    dataset = open_dataset(tmp_path)
    with pytest.raises(LfbtError, match="record r2 holds NaN or infinity"):
        dataset.batch(np.array([3, 2, 0, 1]), "record")
    # The other leads, and the other records, are whole.
    dataset.select_leads(("II", "V5")).batch(np.arange(4), "record")
    dataset.batch(np.array([0, 1, 3]), "record")


def _cut_signals(folder):
    data = (folder / "signals.npy").read_bytes()
    (folder / "signals.npy").write_bytes(data[:-10])


def _objects(folder):
    np.save(folder / "signals.npy", np.array([{"a": 1}] * 4, dtype=object), allow_pickle=True)


def _rewrite_records(folder, text):
    (folder / "records.csv").write_text(text)


PACKED_FAULTS = {
    "cut": (_cut_signals, "is not a complete packed data set .*prepare it again"),
    "objects": (_objects, "is not a complete packed data set"),
    "empty": (lambda d: (d / "signals.npy").write_bytes(b""), "is not a complete packed data set"),
    "text": (lambda d: (d / "signals.npy").write_text("not numpy"), "is not a complete packed data set"),
    "more": (
        lambda d: np.save(d / "signals.npy", noise(5, 3, 64)),
        r"shape \[5, 3, 64\] but records.csv has 4 records",
    ),
    "leads": (lambda d: np.save(d / "signals.npy", noise(4, 2, 64)), "dataset.json 3 leads"),
    "axes": (lambda d: np.save(d / "signals.npy", noise(4, 64)), r"shape \[4, 64\]"),
    "no table": (lambda d: (d / "records.csv").unlink(), "is not a complete packed data set"),
    "empty table": (lambda d: _rewrite_records(d, ""), "is not a complete packed data set"),
    "no column": (lambda d: _rewrite_records(d, "id,patient,labels\n"), "is not a complete packed data set .*split"),
    "no JSON": (lambda d: (d / "dataset.json").write_text("{"), "is not JSON"),
    "a list": (lambda d: (d / "dataset.json").write_text("[]"), "not a JSON object"),
    "no leads": (lambda d: write_packed(d, leads=None), r"dataset\.json: has no leads; prepare it again"),
    "no rate": (lambda d: write_packed(d, sampling_rate="fast"), r"dataset\.json: field sampling_rate: .*`str`"),
    "no names": (lambda d: write_packed(d, leads=5), r"dataset\.json: field leads: .*`int`; prepare it again"),
    "no split": (lambda d: write_packed(d, rows=[*ROWS[:3], ("r3", "p2", "", "dev")]), "not one of train, val, test"),
    "shared": (lambda d: write_packed(d, rows=[*ROWS[:3], ("r3", "p1", "", "test")]), "a patient is in two splits"),
}


@pytest.mark.parametrize("fault", PACKED_FAULTS)
def test_a_packed_data_set_that_is_not_whole_is_refused_by_name(tmp_path, fault):
    spoil, message = PACKED_FAULTS[fault]
    write_packed(tmp_path)
    spoil(tmp_path)
    with pytest.raises(LfbtError, match=f"^{tmp_path}.*{message}"):
        open_dataset(tmp_path)


# --- the authors' folders ---


def test_samples_are_read_in_natural_order_with_what_is_assumed(tmp_path):
    names = [f"samples/sample_{number}" for number in (0, 1, 2, 9, 10, 11, 100)]
    write_npy(tmp_path, *names, samples=2048)
    dataset = open_dataset(tmp_path)
    assert dataset.ids == dataset.patients == tuple(names)
    assert dataset.leads == PAPER_LEADS
    assert (dataset.sampling_rate, dataset.n_samples, dataset.names_assumed) == (204.8, 2048, True)
    assert (dataset.classes, set(dataset.labels), set(dataset.split)) == ((), {()}, {"train"})
    batch = dataset.batch(np.array([6, 0, 4]), "none")
    assert batch.shape == (3, 8, 2048)
    assert batch[:, 0, 0].tolist() == [6, 0, 4]


@pytest.mark.parametrize(
    ("leads", "names"), [(8, PAPER_LEADS), (12, STANDARD_LEADS), (3, ("lead1", "lead2", "lead3")), (1, ("lead1",))]
)
def test_leads_are_assumed_by_their_number(tmp_path, leads, names):
    write_npy(tmp_path, "samples/a", leads=leads, samples=1000)
    dataset = open_dataset(tmp_path)
    assert (dataset.leads, dataset.sampling_rate) == (names, 100)


def test_split_and_class_folders_are_used_as_they_are(tmp_path):
    files = ["train/b/0", "train/a/0", "train/a/1", "val/a/0", "val/b/7", "test/b/0"]
    write_npy(tmp_path, *files)
    (tmp_path / "train" / ".cache").mkdir()
    dataset = open_dataset(tmp_path)
    found = dict(zip(dataset.ids, zip(dataset.split, dataset.labels, strict=True), strict=True))
    assert found == {file: (file.split("/")[0], (file.split("/")[1],)) for file in files}
    assert dataset.classes == ("a", "b")
    for row, name in enumerate(dataset.ids):
        assert dataset.batch(np.array([row]), "none")[0, 0, 0] == files.index(name)


def test_class_folders_are_split_by_the_seed_and_stratified(tmp_path):
    write_npy(tmp_path, *[f"x/{n}" for n in range(20)], *[f"y/{n}" for n in range(30)])
    dataset, again, other = open_dataset(tmp_path), open_dataset(tmp_path), open_dataset(tmp_path, split_seed=1)
    assert dataset.classes == ("x", "y")
    table = {(split, label): 0 for split in ("train", "val", "test") for label in "xy"}
    for split, (label,) in zip(dataset.split.tolist(), dataset.labels, strict=True):
        table[split, label] += 1
    assert table == {
        ("train", "x"): 14,
        ("val", "x"): 2,
        ("test", "x"): 4,
        ("train", "y"): 22,
        ("val", "y"): 2,
        ("test", "y"): 6,
    }
    assert dataset.split.tolist() == again.split.tolist() != other.split.tolist()


def test_a_manifest_beside_npy_files_decides(tmp_path):
    write_npy(tmp_path, *[f"train/MI/{n}" for n in range(2)], "val/MI/2", "test/NORM/3", leads=3)
    manifest = {"leads": LEADS, "sampling_rate": 6.4, "classes": ["NORM", "MI", "CD"], "synthetic": True}
    (tmp_path / "dataset.json").write_text(json.dumps(manifest))
    dataset = open_dataset(tmp_path)
    assert (dataset.leads, dataset.sampling_rate, dataset.classes) == (LEADS, 6.4, ("NORM", "MI", "CD"))
    assert (dataset.names_assumed, dataset.synthetic) == (False, True)
    (tmp_path / "dataset.json").write_text(json.dumps(manifest | {"leads": ["II"]}))
    with pytest.raises(LfbtError, match=r"files have 3 leads but dataset\.json names 1"):
        open_dataset(tmp_path)
    (tmp_path / "dataset.json").write_text(json.dumps(manifest | {"classes": ["NORM", "CD"]}))
    with pytest.raises(LfbtError, match=r"class folder MI is not among the classes of dataset\.json: NORM, CD"):
        open_dataset(tmp_path)


def test_integers_and_fortran_order_are_read_alike(tmp_path):
    values = np.arange(8 * 64).reshape(8, 64)
    (tmp_path / "samples").mkdir()
    np.save(tmp_path / "samples" / "0.npy", values.astype(np.int16))
    np.save(tmp_path / "samples" / "1.npy", np.asfortranarray(values.astype(np.float64)))
    batch = open_dataset(tmp_path).batch(np.arange(2), "none")
    np.testing.assert_array_equal(batch, [values, values])
    assert batch.dtype == np.float32


def _save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array, **options)


NPY_FAULTS = {
    "text": (lambda path: path.write_text("text"), "is not a .npy array of numbers"),
    "empty": (lambda path: path.write_bytes(b""), "is not a .npy array of numbers"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-5]), "is not a .npy array of numbers"),
    "objects": (lambda path: _save(path, np.array([{}]), allow_pickle=True), "is not a .npy array of numbers"),
    "letters": (lambda path: _save(path, np.array([["a"]])), "holds <U1 of shape"),
    "booleans": (lambda path: _save(path, np.zeros((8, 64), dtype=bool)), "holds bool"),
    "one axis": (lambda path: _save(path, noise(64)), r"shape \[64\]; numbers \[leads, samples\] are needed"),
    "three axes": (lambda path: _save(path, noise(1, 8, 64)), r"shape \[1, 8, 64\]"),
    "longer": (lambda path: _save(path, noise(8, 65)), r"has shape \[8, 65\] where .*/0\.npy has \[8, 64\]"),
}


@pytest.mark.parametrize("fault", NPY_FAULTS)
def test_files_that_do_not_fit_are_named(tmp_path, fault):
    spoil, message = NPY_FAULTS[fault]
    write_npy(tmp_path, "samples/0", "samples/1")
    spoil(tmp_path / "samples" / "1.npy")
    with pytest.raises(LfbtError, match=f"^{tmp_path}/samples/1.npy: .*{message}"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("files", [(), ("0",), ("train/0", "val/1"), (".hidden/0",), ("a/b/0",)], ids=str)
def test_folders_in_no_layout_are_refused_with_the_layouts(tmp_path, files):
    write_npy(tmp_path, *files)
    with pytest.raises(
        LfbtError, match=r"data-dir: .* holds no data set; give a packed data set .*DIR/samples/\*\.npy"
    ):
        open_dataset(tmp_path)


def test_what_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for name in ("file", "absent"):
        with pytest.raises(LfbtError, match=f"data-dir: {tmp_path / name} is not a folder; give a packed data set"):
            open_dataset(tmp_path / name)


def test_the_number_of_leads_can_be_checked(tmp_path):
    write_packed(tmp_path)
    check_n_leads(open_dataset(tmp_path), 3)
    with pytest.raises(LfbtError, match=r"num-leads: 8 contradicts the 3 leads of .*: II,V1,V5"):
        check_n_leads(open_dataset(tmp_path), 8)


@given(st.lists(st.integers(0, 10**6), unique=True, min_size=2), st.sampled_from(["sample_", "", "a1b"]))
def test_natural_order_is_that_of_the_numbers(tmp_path_factory, numbers, prefix):
    folder = tmp_path_factory.getbasetemp()
    paths = [folder / f"{prefix}{number}.npy" for number in numbers]
    assert sorted(paths, key=_natural) == [folder / f"{prefix}{number}.npy" for number in sorted(numbers)]


@given(st.lists(st.text("ab01_ Z", min_size=1), unique=True))
def test_natural_order_is_an_order_of_any_names(tmp_path_factory, names):
    folder = tmp_path_factory.getbasetemp()
    paths = sorted((folder / name for name in names), key=_natural)
    backwards = paths[::-1]
    assert sorted(backwards, key=_natural) == paths


# --- arrays in memory ---


def test_arrays_are_an_unlabelled_data_set():
    signals = noise(5, 3, 40)
    dataset = from_arrays(signals, LEADS, 100.0)
    assert (len(dataset), dataset.n_samples, dataset.leads, dataset.sampling_rate) == (5, 40, LEADS, 100)
    assert dataset.rows("train").tolist() == list(range(5))
    np.testing.assert_allclose(dataset.batch(np.array([4]), "record")[0], z(signals[4]), rtol=0, atol=1e-5)
    with pytest.raises(LfbtError, match="needs two or more"):
        dataset.targets()


@pytest.mark.parametrize("shape", [(5, 40), (5, 2, 40), (1, 5, 3, 40)])
def test_arrays_of_another_shape_are_refused(shape):
    with pytest.raises(LfbtError, match=r"signals: shape .* is not \[records, 3 leads, samples\]"):
        from_arrays(noise(*shape), LEADS, 100.0)


# --- several as one ---


def test_data_sets_are_joined_one_after_the_other(tmp_path):
    one = write_packed(tmp_path / "one")
    two = write_packed(tmp_path / "two", noise(4, 3, 64, seed=1), hash="def")
    joined = open_datasets([tmp_path / "one", tmp_path / "two"])
    both = np.concatenate([one, two])
    assert (len(joined), joined.n_samples, joined.classes) == (8, 64, ())
    assert joined.ids[3:5] == ("one/r3", "two/r0")
    assert joined.patients[3:5] == ("one/p2", "two/p0")
    assert joined.rows("train").tolist() == [0, 2, 4, 6]
    rows = np.array([7, 0, 4, 3, 7])
    np.testing.assert_array_equal(joined.batch(rows, "none"), both[rows])
    np.testing.assert_array_equal(joined.select_leads(("V5", "II")).batch(rows, "none"), both[rows][:, [2, 0]])
    assert joined.hash not in ("abc", "def")


def test_packed_and_npy_data_sets_can_be_joined(tmp_path):
    packed = write_packed(tmp_path / "packed", noise(4, 8, 64), leads=PAPER_LEADS)
    write_npy(tmp_path / "npy", "samples/0", "samples/1")
    joined = open_datasets([tmp_path / "packed", tmp_path / "npy"])
    assert joined.names_assumed
    batch = joined.batch(np.array([5, 2]), "none")
    np.testing.assert_array_equal(batch, [np.ones((8, 64)), packed[2]])


def test_a_record_that_is_not_finite_is_named_after_its_data_set(tmp_path):
    signals = noise(4, 3, 64)
    signals[1, 0, 0] = np.nan
    write_packed(tmp_path / "one")
    write_packed(tmp_path / "two", signals)
    with pytest.raises(LfbtError, match="record two/NA holds NaN"):
        open_datasets([tmp_path / "one", tmp_path / "two"]).batch(np.arange(8), "record")


def test_one_data_set_keeps_its_labels(tmp_path):
    write_packed(tmp_path)
    assert open_datasets([tmp_path]).classes == ("NORM", "MI", "CD")


@pytest.mark.parametrize("other", [{"leads": ("V1", "II", "V5")}, {"sampling_rate": 100}, {"signals": noise(4, 3, 65)}])
def test_data_sets_that_differ_are_refused_with_both_sides(tmp_path, other):
    write_packed(tmp_path / "one")
    write_packed(tmp_path / "two", **other)
    with pytest.raises(
        LfbtError, match=r"/two has leads .* but .*/one has II,V1,V5, 6\.4 Hz, 64 samples; prepare both"
    ):
        open_datasets([tmp_path / "one", tmp_path / "two"])


def test_no_data_set_is_refused():
    with pytest.raises(LfbtError, match="data-dir: none given"):
        open_datasets([])


def save_zip(folder):
    np.savez(folder / "signals.npz", np.zeros(3))
    (folder / "signals.npz").rename(folder / "signals.npy")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (save_zip, "not a complete packed data set"),
        (lambda folder: np.save(folder / "signals.npy", np.full((4, 2, 64), "x")), "holds <U1, not float32"),
        (
            lambda folder: np.save(folder / "signals.npy", np.zeros((4, 2, 64), complex)),
            "holds complex128, not float32",
        ),
    ],
)
def test_signals_of_another_kind_are_refused(tmp_path, damage, message):
    write_packed(tmp_path)
    damage(tmp_path)
    with pytest.raises(LfbtError, match=message):
        open_dataset(tmp_path)


def test_a_label_that_is_no_class_is_refused(tmp_path):
    write_packed(tmp_path, classes=["NORM", "MI"])
    with pytest.raises(LfbtError, match=r"label CD of records\.csv is not a class of dataset\.json"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("manifest", [{"sampling_rate": "abc"}, {"leads": 5}])
def test_a_manifest_of_npy_files_that_makes_no_sense_is_refused(tmp_path, manifest):
    write_npy(tmp_path, "samples/sample_0")
    (tmp_path / "dataset.json").write_text(json.dumps(manifest))
    with pytest.raises(LfbtError, match=rf"dataset\.json: field {min(manifest)}: Expected .*; prepare it again"):
        open_dataset(tmp_path)


def test_file_names_may_hold_any_digits(tmp_path):
    write_npy(tmp_path, "samples/²3", "samples/sample_10", "samples/sample_2")
    assert [name.split("/")[1] for name in open_dataset(tmp_path).ids] == ["sample_2", "sample_10", "²3"]


def test_joined_folders_of_one_name_keep_their_ids_apart(tmp_path):
    for place in ("x", "y"):
        write_npy(tmp_path / place / "data", "samples/sample_0")
    joined = open_datasets([tmp_path / "x" / "data", tmp_path / "y" / "data"])
    assert len(set(joined.ids)) == len(set(joined.patients)) == 2
