"""The reader of the MATLAB files of CPSC2018."""

import numpy as np
import pytest
import scipy.io
from tests.published_files import RNG, write_mat

from lfbt.errors import UnreadableError
from lfbt.io.matlab import matlab_version, read_cpsc_mat
from lfbt.recording import STANDARD_LEADS


def test_read_cpsc_mat_reads_the_struct(tmp_path):
    data = RNG.normal(size=(12, 60))
    write_mat(tmp_path / "A0001.mat", data)
    recording = read_cpsc_mat(tmp_path / "A0001.mat")
    assert (recording.leads, recording.sampling_rate) == (STANDARD_LEADS, 500.0)
    np.testing.assert_array_equal(recording.signal, data.astype(np.float32))


def test_read_cpsc_mat_names_the_corrupt_file(tmp_path):
    path = tmp_path / "a.mat"
    write_mat(path, RNG.normal(size=(12, 60)))
    whole = path.read_bytes()
    for content in (b"", whole[:10], whole[:130], whole[: len(whole) // 2], whole[:-1], b"some text\n" * 30,
                    b"\x89HDF\r\n\x1a\n" + bytes(500)):  # fmt: skip
        path.write_bytes(content)
        with pytest.raises(UnreadableError, match=r"a\.mat: cannot be read .*expected a MATLAB 5 struct ECG"):
            read_cpsc_mat(path)
    for data, message in ((np.zeros((60, 12)), r"shape \[60, 12\]"), ("text", "not numbers")):
        write_mat(path, data)
        with pytest.raises(UnreadableError, match=message):
            read_cpsc_mat(path)
    scipy.io.savemat(path, {"val": np.zeros((12, 5))})
    with pytest.raises(UnreadableError, match="expected a MATLAB 5 struct ECG"):
        read_cpsc_mat(path)


def test_read_cpsc_mat_names_the_version_that_it_does_not_read(tmp_path):
    path = tmp_path / "a.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512) + b"\x89HDF\r\n\x1a\n" + bytes(500))
    with pytest.raises(UnreadableError, match=r"a\.mat: a MATLAB 7\.3 file \(HDF5\), not MATLAB 5; save it with -v7"):
        read_cpsc_mat(path)


def test_matlab_version_knows_files_by_their_first_bytes(tmp_path):
    write_mat(tmp_path / "5.mat", np.zeros((12, 5)))
    (tmp_path / "7.3.mat").write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")
    scipy.io.savemat(tmp_path / "4.mat", {"val": np.zeros((12, 5))}, format="4")
    assert [matlab_version(tmp_path / f"{name}.mat") for name in ("5", "7.3", "4")] == ["5", "7.3", ""]


@pytest.mark.parametrize("name", ["fs", "Fs", "sampling_rate", "SampleFreq", "Hz"])
@pytest.mark.parametrize("inside", [True, False])
def test_read_cpsc_mat_refuses_another_rate_that_the_file_states(tmp_path, name, inside):
    path, ecg = tmp_path / "a.mat", {"data": RNG.normal(size=(12, 60)), "sex": "M"}
    for rate, text in ((250.0, "250.0"), (1000, "1000")):
        scipy.io.savemat(path, {"ECG": {**ecg, name: rate}} if inside else {"ECG": ecg, name: rate})
        with pytest.raises(UnreadableError, match=f"its {name} is {text}, and CPSC2018 has 500 Hz"):
            read_cpsc_mat(path)
    for value in (500, "n/a"):
        scipy.io.savemat(path, {"ECG": {**ecg, name: value}})
        assert read_cpsc_mat(path).sampling_rate == 500


def test_read_cpsc_mat_names_what_another_file_holds(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"val": np.zeros((12, 5)), "x": 1})
    with pytest.raises(UnreadableError, match=r"a\.mat: it holds val, x; .* a WFDB record need a\.hea beside them"):
        read_cpsc_mat(tmp_path / "a.mat")
