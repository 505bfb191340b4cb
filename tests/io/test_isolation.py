"""The process that reads files: crashes, hangs and hunger of it are one line about one file."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
import scipy.io
from tests.clinical_files import dicom
from tests.hostile_readers import crash, fill, hang, reader_process, recurse, refuse
from tests.published_files import write

import lfbt
from lfbt.errors import LfbtError, UnreadableError
from lfbt.io import isolation
from lfbt.sources import SOURCES
from lfbt.sources.synthetic_downloads import write_chapman


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "a.x", "x")


def is_running(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for_end(process, seconds=20):
    end = time.monotonic() + seconds
    while is_running(process):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_one_process_reads_all_files_and_is_another(path):
    first, value = reader_process(path, {"a": np.arange(3)})
    assert first != os.getpid()
    np.testing.assert_array_equal(value["a"], [0, 1, 2])
    assert reader_process(path) == (first, None)


def test_relative_paths_are_those_of_the_caller(path, tmp_path, monkeypatch):
    first, _ = reader_process(path)
    monkeypatch.chdir(tmp_path)
    assert reader_process(Path(path.name)) == (first, None)
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(UnreadableError, match=r"a\.x: cannot be read"):
        reader_process(Path("a.x"))
    assert reader_process(path) == (first, None)
    monkeypatch.chdir(tmp_path)
    assert reader_process(Path("a.x"), 1)[1] == 1


def test_a_crash_names_the_file_and_the_next_one_is_read(path):
    with pytest.raises(UnreadableError, match=r"a\.x: ended the process that read it \(SIGSEGV\); it is damaged"):
        crash(path)
    assert reader_process(path, 1)[1] == 1


def test_a_process_that_was_killed_between_two_files_is_replaced(path):
    first, _ = reader_process(path)
    os.kill(first, signal.SIGKILL)
    wait_for_end_of_child(first)
    second, value = reader_process(path, 2)
    assert (second != first, value) == (True, 2)


def wait_for_end_of_child(process):
    end = time.monotonic() + 20
    assert isolation._reader
    while isolation._reader.is_running():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_hang_ends_by_the_limit(path, monkeypatch):
    first, _ = reader_process(path)
    monkeypatch.setenv("LFBT_MAX_READ_SECONDS", "1")
    begin = time.monotonic()
    with pytest.raises(UnreadableError, match=r"a\.x: took longer than 1 s to read.*LFBT_MAX_READ_SECONDS"):
        hang(path)
    assert time.monotonic() - begin < 10
    assert not is_running(first)


def test_memory_is_limited_by_the_size_of_the_file(path, monkeypatch):
    monkeypatch.setenv("LFBT_MAX_READ_MEMORY", str(4 * 10**8))
    assert fill(path, 10**7) == 1
    with pytest.raises(UnreadableError, match=r"a\.x: cannot be read \(it needs more memory than .*READ_MEMORY$"):
        fill(path, 5 * 10**8)
    with monkeypatch.context() as context:
        context.setenv("LFBT_MAX_READ_MEMORY", str(10**9))
        assert fill(path, 5 * 10**8) == 1
    path.write_bytes(bytes(10**7))
    assert fill(path, 5 * 10**8) == 1


def test_recursion_without_end_is_an_error_of_the_file(path):
    with pytest.raises(UnreadableError, match=r"a\.x: cannot be read \(maximum recursion depth"):
        recurse(path)


def test_errors_of_lfbt_keep_their_words_and_kind(path):
    with pytest.raises(LfbtError, match=r"a\.x: is not mine; give another") as caught:
        refuse(path)
    assert not isinstance(caught.value, UnreadableError)


def test_threads_take_turns(path):
    found = []
    threads = [threading.Thread(target=lambda k=k: found.append((k, *reader_process(path, k)))) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted((k, value) for k, _, value in found) == [(k, k) for k in range(8)]
    assert len({process for _, process, _ in found}) == 1


def test_a_forked_process_has_one_of_its_own(path):
    first, _ = reader_process(path)
    ours, theirs = multiprocessing.Pipe()
    child = os.fork()
    if not child:
        theirs.send(reader_process(path)[0])
        os._exit(0)
    os.waitpid(child, 0)
    second = ours.recv()
    assert second not in (first, child)
    wait_for_end(second)
    assert reader_process(path) == (first, None)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("busy", [False, True])
def test_it_ends_with_its_parent(path, number, busy):
    code = (
        "import time; from pathlib import Path; from tests.hostile_readers import hang, reader_process\n"
        f"path = Path({str(path)!r}); print(reader_process(path)[0], flush=True)\n"
        f"hang(path) if {busy} else time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    reader = int(parent.stdout.readline())
    time.sleep(0.3 * busy)
    parent.send_signal(number)
    parent.wait()
    parent.stdout.close()
    wait_for_end(reader)


def test_a_matlab_file_that_unpacks_to_gigabytes_is_refused(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"ECG": {"data": np.zeros((12, 2 * 10**5))}}, do_compression=True)
    data = (tmp_path / "a.mat").read_bytes()
    # The compressed element, whose zeros are made many more.
    whole = zlib.decompress(data[136:])
    large = whole.replace((12 * 2 * 10**5 * 8).to_bytes(4, "little"), (12 * 2 * 10**7 * 8).to_bytes(4, "little"))
    large = large.replace((2 * 10**5).to_bytes(4, "little"), (2 * 10**7).to_bytes(4, "little"))
    packer = zlib.compressobj(1)
    packed = packer.compress(large) + b"".join(packer.compress(bytes(10**7)) for _ in range(190)) + packer.flush()
    (tmp_path / "a.mat").write_bytes(data[:132] + len(packed).to_bytes(4, "little") + packed)
    with pytest.raises(UnreadableError, match=r"a\.mat: cannot be read \("):
        lfbt.read(tmp_path / "a.mat")


def test_a_deflated_dicom_that_unpacks_to_gigabytes_is_refused(tmp_path):
    path = dicom(tmp_path / "a.dcm")
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)
    whole = path.read_bytes()
    head = whole[: whole.index(b"1.2.840.10008.1.2.1.99") + 22]
    packer = zlib.compressobj(1, wbits=-15)
    path.write_bytes(head + b"".join(packer.compress(bytes(10**7)) for _ in range(200)) + packer.flush())
    with pytest.raises(UnreadableError, match=r"a\.dcm: cannot be read \(.*(memory|allocate)"):
        lfbt.read(path)


def test_a_workbook_with_a_row_of_a_thousand_millions_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("LFBT_MAX_READ_MEMORY", str(4 * 10**8))
    write_chapman(tmp_path / "d", 3, 0)
    book = next((tmp_path / "d").rglob("Diagnostics.xlsx"))
    with zipfile.ZipFile(book) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    sheet = next(name for name in parts if name.startswith("xl/worksheets/"))
    parts[sheet] = parts[sheet].replace(b'<row r="3"', b'<row r="1000000000"')
    with zipfile.ZipFile(book, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    with pytest.raises(LfbtError, match=r"Diagnostics\.xlsx: .*\w"):
        SOURCES["chapman"]().listing(tmp_path / "d")
