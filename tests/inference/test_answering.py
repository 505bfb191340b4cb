"""Files in, answers out: what is written, what is refused before anything is computed."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from tests.factories import waves, write_packed
from tests.inference.test_prediction import MeanModel

from lfbt.errors import FinishedError, LfbtError
from lfbt.inference.answering import AnswerReport, AnswerSettings, PredictSettings, answer, write_predictions
from lfbt.inference.prediction import embedding_columns, embedding_rows
from lfbt.inference.recordings import FileSettings
from lfbt.inference.watching import Answering, WatchSettings
from lfbt.utils.files import holding

FILES = FileSettings("II,V1", 500.0)


def save(path, n=5000):
    np.save(path, np.random.default_rng(0).laplace(0, 0.2, size=(2, n)))
    return path


def run(*inputs, out=None, model=None):
    settings = AnswerSettings(tuple(inputs), out)
    rows = lambda one: embedding_rows(one, per_piece=False)  # noqa: E731
    columns = embedding_columns(128, per_piece=False)
    return answer(settings, Answering(model or MeanModel(), FILES, rows, columns, Path("absent")))


def test_answer_counts_and_writes_all(tmp_path):
    inputs = [save(tmp_path / "a.npy"), save(tmp_path / "b.npy", 100), save(tmp_path / "c.npy")]
    report = run(*inputs, out=tmp_path / "out.csv")
    columns = embedding_columns(128, per_piece=False)
    assert report == AnswerReport(2, 1, f"{tmp_path / 'b.npy'}: short: 0.2 s", columns)
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["file", *map(str, inputs)]


def test_answer_reads_a_list_from_stdin(tmp_path, monkeypatch):
    files = [save(tmp_path / f"{name} .npy") for name in "ab"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(map(str, files)) + "\n\n"))
    report = run(Path("-"))
    assert (report.answered, report.failed) == (2, 0)
    assert [row["file"] for row in report.rows] == [str(file) for file in files]


def test_answer_reads_a_list_with_nuls_as_the_bytes_of_stdin_are(tmp_path, monkeypatch):
    """Names with carriage returns, line breaks and blanks, which no list of lines could have."""
    files = [save(tmp_path / name) for name in ("a\rb.npy", "c\nd.npy", "e\r\n.npy", " f.npy")]
    content = b"".join(os.fsencode(file) + b"\0" for file in files)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content), "utf-8", "surrogateescape"))
    report = run(Path("-"))
    assert (report.answered, report.failed) == (4, 0)
    assert [row["file"] for row in report.rows] == [str(file) for file in files]


def test_answer_has_no_list_where_stdin_is_closed(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(LfbtError, match=r"^inputs: none given"):
        run(Path("-"))


def test_answer_writes_nothing_where_none_can_be_answered(tmp_path):
    short = save(tmp_path / "b.npy", 100)
    with pytest.raises(LfbtError, match=r"no recording could be answered; the first: .*b\.npy: short: 0\.2 s"):
        run(short, out=tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
    with pytest.raises(LfbtError, match="inputs: none given"):
        run()


def test_answer_names_a_file_that_cannot_be_read_once(tmp_path):
    with pytest.raises(LfbtError) as caught:
        run(tmp_path / "absent.npy")
    assert str(caught.value) == f"no recording could be answered; the first: file {tmp_path}/absent.npy: does not exist"


def test_answer_refuses_an_output_before_it_computes(tmp_path):
    model = MeanModel()
    (tmp_path / "out.csv").touch()
    with pytest.raises(LfbtError, match=r"out\.csv is no table of answers of lfbt; give another name"):
        run(save(tmp_path / "a.npy"), out=tmp_path / "out.csv", model=model)
    assert model.batches == []


def test_answer_says_that_a_file_has_its_answers_and_stops_at_another(tmp_path):
    out = tmp_path / "out.csv"
    files = [save(tmp_path / f"{name}.npy") for name in "abc"]
    run(*files, out=out)
    before = out.read_bytes(), out.stat().st_mtime_ns
    with pytest.raises(FinishedError) as caught:
        run(*files, out=out)
    assert caught.value.place == out
    with pytest.raises(LfbtError, match=r"its row 1 is not what this command gives"):
        run(files[1], *files, out=out)
    with pytest.raises(LfbtError, match=r"it has more answers than this command gives"):
        run(*files[:2], out=out)
    (tmp_path / "d.npy").write_bytes(b"no array")
    with pytest.raises(LfbtError, match=r"its row 4 is not what this command gives"):
        run(*files, tmp_path / "d.npy", out=out)
    assert (out.read_bytes(), out.stat().st_mtime_ns) == before
    for _ in range(2):
        report = run(files[0], tmp_path / "d.npy", out=tmp_path / "partly.csv")
        assert (report.answered, report.failed) == (1, 1)


def test_answer_has_a_file_for_itself_and_replaces_none_of_another_program(tmp_path):
    out, file = tmp_path / "out.csv", save(tmp_path / "a.npy")
    with holding(out), pytest.raises(LfbtError, match="another process is writing it now"):
        run(file, out=out)
    assert not out.exists()
    model = MeanModel()
    compute = model.compute
    model.compute = lambda signals: [out.write_text("mine"), compute(signals)][1]  # type: ignore[method-assign]
    with pytest.raises(LfbtError, match=r"out\.csv was written by another program meanwhile; give another name"):
        run(file, out=out, model=model)
    assert out.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npy", "out.csv"]


def test_answer_refuses_a_data_set_that_does_not_fit_before_it_reads_a_file(tmp_path):
    model = MeanModel()
    data = write_packed(tmp_path / "data", waves([0, 1], n_samples=128))
    with pytest.raises(LfbtError, match="does not fit the encoder"):
        run(*(save(tmp_path / f"{row}.npy") for row in range(70)), data, model=model)
    assert model.batches == []


def test_write_predictions_needs_a_classifier():
    with pytest.raises(LfbtError, match=r"^classifier: required, but not given"):
        write_predictions(PredictSettings())


def test_answer_takes_inputs_or_a_folder_to_watch(tmp_path):
    settings = AnswerSettings((tmp_path,), watching=WatchSettings(tmp_path))
    with pytest.raises(LfbtError, match=r"^watch: inputs are given as well; give one of the two$"):
        answer(settings, Answering(MeanModel(), FILES, lambda _: iter(()), [], tmp_path))


def test_answer_streams_rows_or_nothing(tmp_path):
    stream = io.StringIO()
    files = (save(tmp_path / "a.npy"), save(tmp_path / "b.npy", 100))
    columns = embedding_columns(128, per_piece=False)
    how = Answering(MeanModel(), FILES, lambda one: embedding_rows(one, per_piece=False), columns, Path("absent"))
    report = answer(AnswerSettings(files), how, stream)
    assert (report.answered, report.failed, report.rows) == (1, 1, [])
    assert [line.split(",")[1] for line in stream.getvalue().splitlines()] == ["record", "a", "b"]
    before = stream.getvalue()
    with pytest.raises(LfbtError, match="no recording could be answered"):
        answer(AnswerSettings(files[1:]), how, stream)
    assert stream.getvalue() == before
