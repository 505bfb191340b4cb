"""Embeddings of files: those of the prepared data set."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from tests.factories import waves, write_checkpoint, write_labelled, write_packed
from tests.inference.test_classifier import write_run

from lfbt.errors import LfbtError
from lfbt.inference.embed_settings import EmbedSettings
from lfbt.inference.embedding import embed
from lfbt.inference.embedding_table import embed_inputs
from lfbt.inference.export import export
from lfbt.inference.recordings import FileSettings
from lfbt.models.pretrained import load_encoder


def test_embed_inputs_gives_the_embeddings_of_the_data_set(tmp_path):
    signals = waves([0, 1, 2, 0])
    data = write_packed(tmp_path / "data", signals)
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    (tmp_path / "files").mkdir()
    for row, signal in enumerate(signals):
        np.save(tmp_path / "files" / f"{row}.npy", signal)
    expected = embed(data, checkpoint, device="cpu")
    files = FileSettings("II,V1", 6.4)
    for place in (data, tmp_path / "files"):
        out = tmp_path / f"{place.name}.csv"
        report = embed_inputs(EmbedSettings((), out, checkpoint, (place,), files=files, device="cpu"))
        assert (report.answered, report.failed) == (4, 0)
        np.testing.assert_allclose(pd.read_csv(out).filter(regex=r"^e\d+$"), expected, atol=1e-6)


def test_embed_inputs_takes_some_leads(tmp_path):
    np.save(tmp_path / "a.npy", waves([1])[0][1:])
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    of_v1 = load_encoder(checkpoint).select_leads(("V1",))
    expected = embed(waves([1])[:, 1:], of_v1, leads="V1", sampling_rate=6.4, device="cpu")
    settings = EmbedSettings(
        (),
        tmp_path / "a.csv",
        checkpoint,
        (tmp_path / "a.npy",),
        leads=("V1",),
        files=FileSettings("V1", 6.4),
        device="cpu",
    )
    embed_inputs(settings)
    np.testing.assert_allclose(pd.read_csv(tmp_path / "a.csv").filter(regex=r"^e\d+$"), expected, atol=1e-6)


def test_embed_inputs_leaves_columns_of_absent_leads_empty_where_asked(tmp_path):
    """The others are those of an encoder of the leads that there are; a file with none of the leads is refused."""
    leads, signals = ("I", "II", "V1"), waves([0, 1, 2], 3)
    encoder = load_encoder(write_checkpoint(tmp_path / "checkpoint", leads))
    inputs = []
    for signal, names in zip(signals, (leads, ("II", "V1"), ("V5", "V6")), strict=True):
        inputs.append(tmp_path / f"{names[0]}.csv")
        lines = [",".join(names), *(",".join(map(str, values)) for values in signal[-len(names) :].T)]
        inputs[-1].write_text("\n".join(lines) + "\n")
    settings = EmbedSettings(
        (), tmp_path / "a.csv", tmp_path / "checkpoint", tuple(inputs), files=FileSettings("", 6.4), device="cpu"
    )
    refused = embed_inputs(settings)
    assert (refused.answered, refused.failed) == (1, 2)
    assert refused.first_failure.endswith(
        "; name leads that there are with --leads, or leave the columns of the others empty with --missing-leads nan"
    )
    assert "leads" not in refused.columns
    whole = embed(signals[:1], encoder, leads=leads, sampling_rate=6.4)[0]
    part = embed(signals[1:2, 1:], encoder.select_leads(("II", "V1")), leads="II,V1", sampling_rate=6.4)[0]
    for suffix in (".csv", ".parquet", ".jsonl"):
        out = tmp_path / f"out{suffix}"
        report = embed_inputs(dataclasses.replace(settings, out=out, missing_leads="nan"))
        assert (report.answered, report.failed) == (2, 1)
        assert report.first_failure.endswith("absent lead I,II,V1 (the recording has V5,V6); the encoder takes I,II,V1")
        if suffix == ".jsonl":
            table = pd.read_json(out, lines=True)
        else:
            table = pd.read_csv(out) if suffix == ".csv" else pd.read_parquet(out)
        assert table["leads"].tolist()[:2] == ["I,II,V1", "II,V1"]
        assert table["notes"][1] == "absent lead I: answered from II,V1"
        columns = table[[f"e{i}" for i in range(192)]].to_numpy(float)
        np.testing.assert_allclose(columns[0], whole, atol=1e-5)
        np.testing.assert_allclose(columns[1, 64:], part, atol=1e-5)
        assert np.isnan(columns[1, :64]).all()
        assert np.isnan(columns[2]).all()


def test_embed_inputs_refuses_a_precision_that_has_no_effect(tmp_path):
    settings = EmbedSettings((), tmp_path / "a.csv", tmp_path / "checkpoint", (tmp_path,), precision="bf16")
    with pytest.raises(LfbtError, match=r"^precision: bf16 has an effect on data_dir only; leave it out for inputs"):
        embed_inputs(settings)
    assert not (tmp_path / "a.csv").exists()


def test_embed_inputs_of_an_onnx_file_leaves_columns_of_absent_leads_empty_where_its_graph_can(tmp_path):
    """As the run that it was exported from does; a file whose graph cannot says what to give instead."""
    data = write_labelled(tmp_path / "data")
    subsets = {"lead_subsets": (("II",),), "leads_dropout": 0.5}
    np.save(tmp_path / "a.npy", waves([1])[0][1:])
    inputs = (tmp_path / "a.npy",)
    settings = EmbedSettings((), tmp_path / "out.csv", inputs=inputs, files=FileSettings("V1", 6.4), device="cpu")
    tables = []
    for name, options in (("some", subsets), ("all", {})):
        run = write_run(tmp_path / name, data, **options)
        export(run, tmp_path / f"{name}.onnx")
    some = dataclasses.replace(settings, missing_leads="nan", overwrite=True)
    for checkpoint in ("some", "some.onnx"):
        report = embed_inputs(dataclasses.replace(some, checkpoint=tmp_path / checkpoint))
        assert (report.answered, report.failed) == (1, 0)
        tables.append(pd.read_csv(tmp_path / "out.csv"))
    columns = [f"e{i}" for i in range(128)]
    expected, found = (table[columns].to_numpy(float) for table in tables)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert np.isnan(found[0]).tolist() == [True] * 64 + [False] * 64
    assert tables[1]["leads"].tolist() == ["V1"]
    advice = "give the run or the encoder that it was exported from, which takes --leads and --missing-leads nan"
    with pytest.raises(LfbtError, match=rf"^missing_leads: .*all\.onnx computes all of its leads only.*; {advice}$"):
        embed_inputs(dataclasses.replace(some, checkpoint=tmp_path / "all.onnx"))
    refuse = dataclasses.replace(settings, out=tmp_path / "none.csv")
    with pytest.raises(LfbtError, match=rf"the encoder takes II,V1; {advice}$"):
        embed_inputs(dataclasses.replace(refuse, checkpoint=tmp_path / "all.onnx"))
    with pytest.raises(
        LfbtError, match=r"takes II,V1; leave the columns of the others empty with --missing-leads nan$"
    ):
        embed_inputs(dataclasses.replace(refuse, checkpoint=tmp_path / "some.onnx"))
