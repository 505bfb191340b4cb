"""The layouts: packed data sets, the authors' folders of ``.npy`` files, and folders in neither."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.helpers import LEADS, ROWS, noise, write_npy, write_packed

from lfbt.data.layouts import _natural, check_n_leads, open_dataset, open_datasets
from lfbt.data.packed_signals import PackedSignals
from lfbt.errors import LfbtError
from lfbt.recording import PAPER_LEADS, STANDARD_LEADS
from lfbt.signal import normalise


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
    "rate 0": (lambda d: write_packed(d, sampling_rate=0), r"field sampling_rate: 0\.0 is outside \(0, 1e6\]"),
    "rate below 0": (lambda d: write_packed(d, sampling_rate=-5), r"field sampling_rate: -5\.0 is outside"),
    "rate NaN": (lambda d: write_packed(d, sampling_rate=float("nan")), r"field sampling_rate: nan is outside"),
    "rate 1e308": (lambda d: write_packed(d, sampling_rate=1e308), r"field sampling_rate: 1e\+308 is outside"),
    "a lead twice": (lambda d: write_packed(d, leads=["II", "II", "V5"]), "leads: a name is there twice"),
    "a class twice": (lambda d: write_packed(d, classes=["NORM", "MI", "CD", "MI"]), "classes: a name is there twice"),
    "samples": (lambda d: write_packed(d, n_samples=63), "signals.npy has 64 samples a record, dataset.json 63"),
    "no split": (lambda d: write_packed(d, rows=[*ROWS[:3], ("r3", "p2", "", "dev")]), "not one of train, val, test"),
    "shared": (lambda d: write_packed(d, rows=[*ROWS[:3], ("r3", "p1", "", "test")]), "a patient is in two splits"),
}


@pytest.mark.parametrize("fault", PACKED_FAULTS)
def test_read_packed_names_the_fault_of_incomplete_data_sets(tmp_path, fault):
    corrupt, message = PACKED_FAULTS[fault]
    write_packed(tmp_path)
    corrupt(tmp_path)
    with pytest.raises(LfbtError, match=f"^{tmp_path}.*{message}"):
        open_dataset(tmp_path)


def test_read_packed_gives_float32_of_float16(tmp_path):
    write_packed(tmp_path)
    signals = np.load(tmp_path / "signals.npy")
    np.save(tmp_path / "signals.npy", signals.astype(np.float16))
    dataset = open_dataset(tmp_path)
    rounded = signals.astype(np.float16).astype(np.float32)
    batch = dataset.batch(np.array([2, 0]), "none")
    assert batch.dtype == dataset[1].signal.dtype == np.float32
    np.testing.assert_array_equal(batch, rounded[[2, 0]])
    # The mean and the deviation are those of float32, not of float16.
    np.testing.assert_array_equal(dataset.batch(np.arange(4), "record"), normalise(rounded, "record"))
    write_packed(tmp_path / "other")
    joined = open_datasets([tmp_path / "other", tmp_path])
    np.testing.assert_array_equal(joined.batch(np.array([5]), "none"), rounded[[1]])


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
def test_read_packed_refuses_signals_of_another_kind(tmp_path, damage, message):
    write_packed(tmp_path)
    damage(tmp_path)
    with pytest.raises(LfbtError, match=message):
        open_dataset(tmp_path)


def test_read_packed_refuses_a_label_that_is_not_a_class(tmp_path):
    write_packed(tmp_path, classes=["NORM", "MI"])
    with pytest.raises(LfbtError, match=r"label CD of records\.csv is not a class of dataset\.json"):
        open_dataset(tmp_path)


def test_npy_folders_are_read_in_natural_order_with_what_is_assumed(tmp_path):
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
def test_npy_folders_assume_leads_by_their_number(tmp_path, leads, names):
    write_npy(tmp_path, "samples/a", leads=leads, samples=1000)
    dataset = open_dataset(tmp_path)
    assert (dataset.leads, dataset.sampling_rate) == (names, 100)


def test_npy_folders_of_splits_and_classes_are_used_as_they_are(tmp_path):
    files = ["train/b/0", "train/a/0", "train/a/1", "val/a/0", "val/b/7", "test/b/0"]
    write_npy(tmp_path, *files)
    (tmp_path / "train" / ".cache").mkdir()
    dataset = open_dataset(tmp_path)
    found = dict(zip(dataset.ids, zip(dataset.split, dataset.labels, strict=True), strict=True))
    assert found == {file: (file.split("/")[0], (file.split("/")[1],)) for file in files}
    assert dataset.classes == ("a", "b")
    for row, name in enumerate(dataset.ids):
        assert dataset.batch(np.array([row]), "none")[0, 0, 0] == files.index(name)


def test_npy_folders_of_classes_are_split_by_the_seed_and_stratified(tmp_path):
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


def test_npy_files_of_integers_and_fortran_order_are_read_alike(tmp_path):
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
def test_read_common_shape_names_files_that_do_not_fit(tmp_path, fault):
    corrupt, message = NPY_FAULTS[fault]
    write_npy(tmp_path, "samples/0", "samples/1")
    corrupt(tmp_path / "samples" / "1.npy")
    with pytest.raises(LfbtError, match=f"^{tmp_path}/samples/1.npy: .*{message}"):
        open_dataset(tmp_path)


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


def test_npy_files_may_have_any_digits_in_their_names(tmp_path):
    write_npy(tmp_path, "samples/²3", "samples/sample_10", "samples/sample_2")
    assert [name.split("/")[1] for name in open_dataset(tmp_path).ids] == ["sample_2", "sample_10", "²3"]


@pytest.mark.parametrize("files", [(), ("0",), ("train/0", "val/1"), (".hidden/0",), ("a/b/0",)], ids=str)
def test_open_dataset_refuses_folders_in_no_layout_with_the_layouts(tmp_path, files):
    write_npy(tmp_path, *files)
    with pytest.raises(
        LfbtError, match=r"data_dir: .* holds no data set; give a packed data set .*DIR/samples/\*\.npy"
    ):
        open_dataset(tmp_path)


def test_open_dataset_refuses_what_is_not_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    for name, why in (("file", ""), ("absent", ": it does not exist")):
        with pytest.raises(
            LfbtError, match=f"data_dir: {tmp_path / name} is not a folder{why}; give a packed data set"
        ):
            open_dataset(tmp_path / name)


def test_open_dataset_reads_a_packed_data_set_as_written(tmp_path):
    signals = write_packed(tmp_path)
    dataset = open_dataset(tmp_path)
    assert (len(dataset), dataset.leads, dataset.n_samples, dataset.sampling_rate) == (4, LEADS, 64, 6.4)
    assert dataset.ids == ("r0", "NA", "r2", "r3")
    assert dataset.patients == ("p0", "p1", "p0", "p2")
    assert dataset.labels == (("MI",), ("NORM",), ("MI", "CD"), ())
    assert dataset.split.tolist() == ["train", "val", "train", "test"]
    assert dataset.classes == ("NORM", "MI", "CD")
    assert (dataset.hash, dataset.synthetic, dataset.names_assumed) == ("abc", False, False)
    assert isinstance(dataset.signals, PackedSignals)
    assert not dataset.compared
    np.testing.assert_array_equal(dataset.batch(np.arange(4), "none"), signals)


def test_check_n_leads_refuses_another_number(tmp_path):
    write_packed(tmp_path)
    check_n_leads(open_dataset(tmp_path), 3)
    with pytest.raises(LfbtError, match=r"num_leads: 8 contradicts the 3 leads of .*: II,V1,V5"):
        check_n_leads(open_dataset(tmp_path), 8)


def test_open_datasets_joins_one_after_the_other(tmp_path):
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


def test_open_datasets_joins_packed_and_npy(tmp_path):
    packed = write_packed(tmp_path / "packed", noise(4, 8, 64), leads=PAPER_LEADS)
    write_npy(tmp_path / "npy", "samples/0", "samples/1")
    joined = open_datasets([tmp_path / "packed", tmp_path / "npy"])
    assert joined.names_assumed
    batch = joined.batch(np.array([5, 2]), "none")
    np.testing.assert_array_equal(batch, [np.ones((8, 64)), packed[2]])


def test_open_datasets_names_a_record_that_is_not_finite_after_its_data_set(tmp_path):
    signals = noise(4, 3, 64)
    signals[1, 0, 0] = np.nan
    write_packed(tmp_path / "one")
    write_packed(tmp_path / "two", signals)
    with pytest.raises(LfbtError, match="record two/NA holds NaN"):
        open_datasets([tmp_path / "one", tmp_path / "two"]).batch(np.arange(8), "record")


def test_open_datasets_keeps_the_labels_of_one(tmp_path):
    write_packed(tmp_path)
    assert open_datasets([tmp_path]).classes == ("NORM", "MI", "CD")


@pytest.mark.parametrize(
    ("other", "options"),
    [
        ({"leads": ("V1", "II", "V5")}, "--leads II,V1,V5"),
        ({"sampling_rate": 100}, "--duration 10"),
        ({"signals": noise(4, 3, 65)}, "--duration 10 --n-samples 64"),
        ({"signals": noise(4, 3, 128), "sampling_rate": 12.8}, "--n-samples 64"),
    ],
)
def test_open_datasets_refuses_data_sets_that_differ_with_both_sides_and_how_to_prepare(tmp_path, other, options):
    write_packed(tmp_path / "one")
    write_packed(tmp_path / "two", **other)
    with pytest.raises(
        LfbtError,
        match=r"/two has leads .* but .*/one has II,V1,V5, 6\.4 Hz, 64 samples; prepare .*/two with " + options + "$",
    ):
        open_datasets([tmp_path / "one", tmp_path / "two"])


def test_open_dataset_of_a_folder_of_data_sets_names_them(tmp_path):
    for name in ("ptbxl", "deeper/ningbo", ".partial"):
        write_packed(tmp_path / "data" / name)
    with pytest.raises(LfbtError, match=r"^data_dir: .*data is no data set, but .*/data/ptbxl is one; name that$"):
        open_dataset(tmp_path / "data")
    write_packed(tmp_path / "data" / "cpsc2018")
    with pytest.raises(LfbtError, match=r"is no data set, but .*/data/cpsc2018, .*/data/ptbxl are; name one of these$"):
        open_dataset(tmp_path / "data")
    with pytest.raises(LfbtError, match=r"is no data set, but .*/data/cpsc2018, .*/data/ptbxl are; name one of these$"):
        open_dataset(tmp_path)


def test_open_dataset_takes_no_data_set_for_a_class(tmp_path):
    write_npy(tmp_path / "NORM" / "1.npy")
    write_npy(tmp_path / "MI" / "1.npy")
    write_packed(tmp_path / "ptbxl")
    with pytest.raises(LfbtError, match=r"is no data set, but .*/ptbxl is one; name that$"):
        open_dataset(tmp_path)
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(LfbtError, match=r"has another data set inside, .*/ptbxl; move it out$"):
        open_dataset(tmp_path)


def test_open_dataset_opens_a_packed_data_set_with_another_one_inside(tmp_path):
    write_packed(tmp_path)
    write_packed(tmp_path / "ptbxl")
    assert len(open_dataset(tmp_path)) == 4


def test_open_datasets_refuses_none():
    with pytest.raises(LfbtError, match="data_dir: none given"):
        open_datasets([])


def test_open_datasets_keeps_ids_of_folders_of_one_name_apart(tmp_path):
    for place in ("x", "y"):
        write_npy(tmp_path / place / "data", "samples/sample_0")
    joined = open_datasets([tmp_path / "x" / "data", tmp_path / "y" / "data"])
    assert len(set(joined.ids)) == len(set(joined.patients)) == 2


def test_open_datasets_refuses_a_folder_named_twice(tmp_path):
    write_packed(tmp_path / "one")
    with pytest.raises(LfbtError, match=r"^data_dir: .*/one/\.\./one is named twice; name each once$"):
        open_datasets([tmp_path / "one", tmp_path / "one" / ".." / "one"])


@pytest.mark.parametrize("folder", [None, [], b"", 3, ""], ids=repr)
def test_open_dataset_refuses_what_is_no_path(folder):
    with pytest.raises(LfbtError, match=r"^data_dir: .* is not a path$"):
        open_dataset(folder)


def _with_header(path, shape):
    """A .npy file whose header states `shape`, whatever it holds."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(1000))


@pytest.mark.parametrize("shape", ["(8, 99999999999999999999999)", "(8, 9223372036854775808)", "(-1, 64)", "(8, (("])
def test_headers_of_shapes_that_cannot_be_are_refused_by_file(tmp_path, shape):
    write_npy(tmp_path / "npy", "samples/0", "samples/1")
    _with_header(tmp_path / "npy" / "samples" / "1.npy", shape)
    with pytest.raises(LfbtError, match=f"^{tmp_path}/npy/samples/1.npy: is not a .npy array of numbers"):
        open_dataset(tmp_path / "npy")
    write_packed(tmp_path / "packed", noise(len(ROWS), len(LEADS), 64))
    _with_header(tmp_path / "packed" / "signals.npy", shape)
    with pytest.raises(LfbtError, match=r"is not a complete packed data set \(file .*/signals.npy: cannot be read"):
        open_dataset(tmp_path / "packed")


NPY_CHANGES = {
    "removed": lambda path: path.unlink(),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-5]),
    "another shape": lambda path: _save(path, noise(8, 65)),
    "letters": lambda path: _save(path, np.full((8, 64), "a")),
    "complex": lambda path: _save(path, np.zeros((8, 64), dtype=complex)),
    "objects": lambda path: _save(path, np.array([{}]), allow_pickle=True),
}


@pytest.mark.parametrize("change", NPY_CHANGES)
def test_npy_files_changed_since_the_data_set_was_opened_are_refused_by_file(tmp_path, change):
    write_npy(tmp_path, "samples/0", "samples/1")
    dataset = open_dataset(tmp_path)
    NPY_CHANGES[change](tmp_path / "samples" / "1.npy")
    with pytest.raises(LfbtError, match=f"^file {tmp_path}/samples/1.npy: .*changed since the data set was opened"):
        dataset.batch(np.arange(2), "none")
