"""Files, folders and data sets as pieces that fit an encoder: the same as `lfbt prepare` makes of them."""

import io
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.factories import waves, write_packed
from tests.published_files import write

from lfbt.data.dataset import Dataset
from lfbt.data.layouts import open_dataset
from lfbt.data.preparation import prepare
from lfbt.errors import LfbtError
from lfbt.inference.recordings import FileSettings, ServedLeads, iterate_pieces, list_recordings, read_list
from lfbt.models.config import EncoderConfig
from lfbt.recording import STANDARD_LEADS, Recording
from lfbt.signal import normalise
from lfbt.sources.listing import Entry

CONFIG = EncoderConfig(("II", "V1"), sampling_rate=6.4, n_samples=64)
FILES = FileSettings("II,V1", 500.0)


def ecg(n_samples=5000, seed=0):
    return np.random.default_rng(seed).laplace(0, 0.2, size=(2, n_samples)).astype(np.float32)


def save(folder, **arrays):
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return folder


def pieces_of(*inputs, settings=FILES, config=CONFIG):
    return list(iterate_pieces(list_recordings(inputs, settings), config, settings))


@pytest.mark.parametrize("normalisation", ["record", "lead", "none"])
def test_iterate_pieces_makes_what_prepare_makes(tmp_path, normalisation):
    folder = save(tmp_path / "from", a=ecg(12600), b=ecg(4000, 1), c=ecg(5000, 2), d=np.zeros((2, 5000)))
    config = EncoderConfig(("V1", "II"), 6.4, 64, normalisation)
    got = pieces_of(folder, config=config)
    given = {"file_leads": "II,V1", "file_sampling_rate": 500, "leads": "V1,II", "n_samples": 64, "workers": 1}
    prepare("folder", folder, tmp_path / "data", **given)
    dataset = open_dataset(tmp_path / "data")
    assert [(one.id, len(one.signals)) for one in got] == [("a", 3), ("b", 1), ("c", 1), ("d", 0)]
    expected = normalise(np.asarray(dataset.signals[np.arange(len(dataset))]), normalisation)
    np.testing.assert_array_equal(np.concatenate([one.signals for one in got]), expected)
    assert [one.notes for one in got] == [
        ("piece 3 of 3 padded from 5.2 s to 10 s",),
        ("padded from 8 s to 10 s",),
        (),
        (),
    ]
    assert [one.reason for one in got] == ["", "", "", "flat: V1,II"]


def test_iterate_pieces_notes_the_pieces_that_are_left_out(tmp_path):
    folder = save(tmp_path / "from", a=ecg(11000))
    (one,) = pieces_of(folder)
    assert (one.numbers, one.notes) == ((0, 1), ("left out: short: 2 s (piece 3 of 3)",))


def test_iterate_pieces_says_why_there_are_none(tmp_path):
    folder = save(tmp_path / "from", short=ecg(1000), large=1000 * ecg(), whole=ecg())
    write(folder / "other.csv", "II,V5\n" + "1,2\n2,1\n" * 2500)
    write(folder / "broken.csv", "II,V1\n1,x\n")
    arrays = pieces_of(*sorted(folder.glob("*.npy")), tmp_path / "absent.npy")
    got = {one.id: one for one in [*arrays, *pieces_of(*folder.glob("*.csv"), settings=FileSettings("", 500.0))]}
    reasons = {name: one.reason for name, one in got.items()}
    assert reasons["whole"] == ""
    assert reasons["short"] == "short: 2 s"
    assert reasons["large"].startswith("the median lead spans 3.5e+03 mV")
    assert "which is outside [0.05, 10]; the values are likely in µV, or raw counts; state" in reasons["large"]
    assert reasons["other"].startswith("absent lead V1")
    assert reasons["other"].endswith("the encoder takes II,V1")
    write(folder / "wearable.csv", "ecg\n" + "1\n2\n" * 2500)
    (nameless,) = pieces_of(folder / "wearable.csv", settings=FileSettings("", 500.0))
    assert nameless.reason.endswith("(the recording has ecg); the encoder takes II,V1; say by file_leads which leads "
                                    "its columns are")  # fmt: skip
    assert "line 2, column 2 holds 'x'" in reasons["broken"]
    assert reasons["absent"].endswith("absent.npy: does not exist")
    assert all(len(got[name].signals) == 0 for name, reason in reasons.items() if reason)
    allowed = FileSettings("II,V1", 500.0, allow_implausible=True)
    assert [one.reason for one in pieces_of(folder / "large.npy", settings=allowed)] == [""]


def test_list_recordings_reads_each_form_of_input(tmp_path):
    folder = save(tmp_path / "from", a=ecg(), b=ecg(5000, 1))
    np.save(tmp_path / "many.npy", np.stack([ecg(5000, 3), ecg(5000, 4)]))
    data = write_packed(tmp_path / "data", waves([0, 1]))
    write(folder / "readme.txt", "hello")
    items = list_recordings([folder, folder / "b.npy", tmp_path / "many.npy", data], FILES)
    assert sum(isinstance(item, Dataset) for item in items) == 1
    got = list(iterate_pieces(items, CONFIG, FILES))
    assert [one.id for one in got] == ["a", "b", "b", "many/0", "many/1", "r0", "r1"]
    assert [one.reason for one in got] == [""] * 7
    assert got[5].file == str(data)
    # Only the data set knows patients.
    assert [one.patient for one in got] == [""] * 5 + ["p0", "p1"]
    np.testing.assert_array_equal(got[1].signals, got[2].signals)
    np.testing.assert_array_equal(got[6].signals[0], normalise(waves([0, 1])[1], "record"))


def test_list_recordings_takes_two_files_of_one_name(tmp_path):
    """Such as one ECG in two formats: the files tell them apart."""
    np.save(tmp_path / "a.npy", np.ones((2, 64)))
    (tmp_path / "a.csv").write_text("II,V1\n" + "0.1,0.2\n" * 64)
    found = list_recordings([tmp_path], FileSettings("II,V1", 6.4))
    files = sorted(str(entry.file) for entry in found if isinstance(entry, Entry))
    assert files == [str(tmp_path / "a.csv"), str(tmp_path / "a.npy")]


def test_list_recordings_refuses_a_folder_without_recordings(tmp_path):
    write(tmp_path / "a" / "readme.txt", "hello")
    with pytest.raises(LfbtError, match=r"holds 1 \.txt, but not any signal file"):
        list_recordings([tmp_path / "a"], FILES)


def test_iterate_pieces_refuses_a_data_set_that_does_not_fit(tmp_path):
    data = write_packed(tmp_path / "data", waves([0, 1], n_samples=128))
    with pytest.raises(
        LfbtError, match=r"does not fit the encoder: .*128 samples against the encoder's 64.*n-samples 64"
    ):
        pieces_of(data)


def test_iterate_pieces_names_the_options_of_files(tmp_path):
    save(tmp_path, a=ecg())
    (one,) = pieces_of(tmp_path / "a.npy", settings=FileSettings())
    assert one.reason.startswith("file_sampling_rate: none given, but ")


def test_iterate_pieces_takes_recordings_in_memory():
    recording = Recording(ecg(), 500.0, ("II", "V1"), id="x", patient="p")
    (one,) = iterate_pieces([recording], CONFIG, FileSettings())
    assert (one.id, one.patient, one.file, one.signals.shape) == ("x", "p", "", (1, 2, 64))


def test_iterate_pieces_can_be_left_early(tmp_path):
    recordings = (Recording(ecg(), 500.0, ("II", "V1"), id=str(i)) for i in range(10**6))
    before = threading.active_count()
    pieces = iterate_pieces(recordings, CONFIG, FileSettings())
    assert next(pieces).id == "0"
    del pieces
    assert threading.active_count() <= before


def test_read_list_passes_over_blank_lines():
    assert [str(path) for path in read_list(["a b.hea\n", "\n", "c.npy\r\n", "d"])] == ["a b.hea", "c.npy", "d"]


@given(st.lists(st.text(st.characters(exclude_characters="\0/", codec="utf-8")).filter(str.strip), min_size=1))
def test_read_list_takes_any_names_with_nuls_between(names):
    text = "\0".join(names) + "\0"
    assert read_list(io.StringIO(text, newline="")) == [Path(name) for name in names]


@pytest.mark.parametrize(
    "settings",
    [FileSettings(file_unit="mmHg"), FileSettings(file_sampling_rate=0.0), FileSettings(file_leads="II,II")],
)
def test_file_settings_are_checked(settings):
    with pytest.raises(LfbtError):
        settings.check()


def served(leads, *subsets, config=CONFIG, remedy=""):
    """The pieces of a recording of some leads, of noise of its own in each."""
    signal = np.random.default_rng(0).laplace(0, 0.2, size=(len(leads), 5000)).astype(np.float32)
    some = ServedLeads(None if subsets == (None,) else subsets, remedy)
    (one,) = iterate_pieces([Recording(signal, 500.0, leads, id="x")], config, FileSettings(), some)
    return one


@pytest.mark.parametrize("normalisation", ["record", "lead", "none"])
def test_iterate_pieces_of_a_subset_are_those_of_an_encoder_of_these_leads(normalisation):
    config = EncoderConfig(("I", "II", "III", "V1"), 6.4, 64, normalisation)
    one = served(("V1", "V2", "III"), ("III", "V1"), ("V1",), config=config)
    alone = served(("V1", "V2", "III"), config=EncoderConfig(("III", "V1"), 6.4, 64, normalisation))
    np.testing.assert_array_equal(one.signals[:, [2, 3]], alone.signals)
    assert np.isnan(one.signals[:, :2]).all()
    assert one.leads_used == ("III", "V1")
    assert one.notes == ("absent lead I,II: answered from III,V1",)


def test_iterate_pieces_take_the_largest_subset_and_say_what_is_left_unused():
    config = EncoderConfig(("II", "III", "V1", "V2"), 6.4, 64)
    subsets = (("II",), ("V1",), ("II", "III"), ("II", "V2"))
    assert served(("V1", "II"), *subsets, config=config).notes == ("absent lead III,V2: answered from II, without V1",)
    # III follows from I and II; of two subsets that are as large the first is taken.
    assert served(("I", "II", "V2"), *subsets, config=config).leads_used == ("II", "III")
    every = served(("I", "II", "V1", "V2"), *subsets, config=config)
    assert (every.leads_used, every.notes) == (config.leads, ())
    assert served(("V2", "V1"), None, config=config).leads_used == ("V1", "V2")


def test_iterate_pieces_say_what_a_recording_lacks_has_and_could_have():
    config = EncoderConfig(("II", "III", "aVR", "V1"), 6.4, 64)
    assert served(("I", "II"), config=config).reason == (
        "absent lead V1 (the recording has I,II, from which III,aVR can be derived); the encoder takes II,III,aVR,V1"
    )
    assert served(("V2",), ("II",), ("V1", "II"), config=config, remedy="do something").reason == (
        "absent lead II,III,aVR,V1 (the recording has V2); the encoder takes II,III,aVR,V1, or the subset II or V1,II"
    )
    assert served(("V1",), config=config, remedy="do something").reason.endswith("; do something")
    assert served(("V5",), None, config=config).reason.startswith("absent lead II,III,aVR,V1 (the recording has V5)")


def test_iterate_pieces_take_subsets_of_data_sets(tmp_path):
    data = write_packed(tmp_path / "data", waves([0, 1], 2), leads=("V1", "V2"))
    items = list_recordings([data], FILES)
    first, _ = iterate_pieces(items, CONFIG, FILES, ServedLeads((("V1",),)))
    np.testing.assert_array_equal(first.signals[:, 1], normalise(waves([0, 1], 2)[:1, :1], "record")[:, 0])
    assert (first.leads_used, first.notes) == (("V1",), ("absent lead II: answered from V1",))
    with pytest.raises(LfbtError, match="lead II: not in the data set"):
        list(iterate_pieces(items, CONFIG, FILES, ServedLeads((("II",),))))


@given(st.sets(st.sampled_from(STANDARD_LEADS)), st.lists(st.sets(st.sampled_from(STANDARD_LEADS), min_size=1)))
def test_served_leads_choose_no_lead_that_is_absent_and_none_larger_is_left(present, subsets):
    names = tuple(lead for lead in STANDARD_LEADS if lead in present)
    chosen = ServedLeads(tuple(tuple(sorted(subset)) for subset in subsets)).choose(names, STANDARD_LEADS)
    assert set(chosen) <= present
    fitting = [len(subset) for subset in subsets if subset <= present]
    assert len(chosen) == (12 if len(present) == 12 else max(fitting, default=0))
