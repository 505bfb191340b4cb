"""dataset.json: complete, with some of its fields, and wrong."""

import dataclasses
import json

import pytest
from tests.data.helpers import CLASSES, LABELLED, LEADS, make, write_npy, write_packed

from lfbt.data.layouts import open_dataset
from lfbt.data.manifest import DatasetManifest, SourceInfo
from lfbt.errors import LfbtError


def test_manifest_beside_npy_files_decides(tmp_path):
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


@pytest.mark.parametrize("manifest", [{"sampling_rate": "abc"}, {"leads": 5}])
def test_manifest_of_npy_files_with_a_bad_field_is_refused(tmp_path, manifest):
    write_npy(tmp_path, "samples/sample_0")
    (tmp_path / "dataset.json").write_text(json.dumps(manifest))
    with pytest.raises(LfbtError, match=rf"dataset\.json: field {min(manifest)}: Expected .*; prepare it again"):
        open_dataset(tmp_path)


def test_manifest_is_read_as_written(tmp_path):
    manifest = DatasetManifest(
        lfbt_version="1.2.3",
        leads=("II", "V1"),
        sampling_rate=204.8,
        n_samples=2048,
        label_rule="a rule",
        classes=("NORM", "MI"),
        records=2,
        patients=1,
        counts={"train": {"NORM": 2, "MI": 0}},
        dropped={"flat": 1},
        synthetic=True,
        source=SourceInfo("folder", "mine", {"labels": "table", "file_sampling_rate": None}),
        settings={"duration": 10.0, "leads": ["II", "V1"]},
        hash="abc",
    )
    manifest.save(tmp_path)
    assert DatasetManifest.load(tmp_path) == manifest
    content = json.loads((tmp_path / "dataset.json").read_text())
    assert list(content) == ["format", *(field.name for field in dataclasses.fields(DatasetManifest))]


def test_manifest_of_prepare_is_that_of_the_data_set(tmp_path):
    make(tmp_path / "to", *LABELLED, classes=CLASSES, workers=1)
    manifest = DatasetManifest.load(tmp_path / "to")
    assert open_dataset(tmp_path / "to").manifest == manifest
    assert (manifest.records, manifest.classes, manifest.unit) == (24, CLASSES, "mV")
    assert manifest.source is not None
    assert manifest.source.name == "given"
    # Who prepared it is not part of it.
    assert list(manifest.settings) == [
        "leads",
        "n_samples",
        "duration",
        "pieces",
        "shortest",
        "allow_implausible",
        "keep_multi_label",
        "test_fraction",
        "val_fraction",
        "split_seed",
        "layout",
        "dtype",
        "skip_unreadable",
    ]


#: As written before the file had a format version.
FIRST = {
    "lfbt_version": "0.1.0",
    "leads": list(LEADS),
    "sampling_rate": 6.4,
    "n_samples": 64,
    "unit": "mV",
    "label_rule": "the diagnostic superclasses",
    "classes": ["NORM", "MI", "CD"],
    "records": 4,
    "patients": 3,
    "counts": {"train": {"NORM": 0, "MI": 2, "CD": 1}, "val": {"NORM": 1, "MI": 0, "CD": 0}},
    "dropped": {"no label": 14},
    "synthetic": True,
    "source": {"name": "ptbxl", "folder": "download", "options": {"labels": "superclass"}},
    "settings": {"leads": list(LEADS), "n_samples": 64, "duration": 10.0},
    "hash": "e975ec37",
}


def test_manifest_of_the_first_format_opens(tmp_path):
    write_packed(tmp_path)
    (tmp_path / "dataset.json").write_text(json.dumps(FIRST))
    dataset = open_dataset(tmp_path)
    assert (dataset.leads, dataset.sampling_rate, dataset.hash, dataset.synthetic) == (LEADS, 6.4, "e975ec37", True)
    assert dataset.manifest.source == SourceInfo("ptbxl", "download", {"labels": "superclass"})
    assert (dataset.manifest.records, dataset.manifest.dropped) == (4, {"no label": 14})


def test_manifest_may_have_only_some_fields_and_others(tmp_path):
    (tmp_path / "dataset.json").write_text(json.dumps({"leads": ["II"], "made by": "hand", "sampling_rate": 100}))
    manifest = DatasetManifest.load(tmp_path)
    assert (manifest.leads, manifest.sampling_rate, manifest.classes, manifest.hash) == (("II",), 100, None, None)
    assert (manifest.unit, manifest.synthetic, manifest.source) == ("mV", False, None)


@pytest.mark.parametrize("field", ["leads", "sampling_rate", "classes", "hash"])
def test_manifest_of_a_packed_data_set_needs_its_fields(tmp_path, field):
    write_packed(tmp_path, **{field: None})
    with pytest.raises(LfbtError, match=rf"^{tmp_path}/dataset\.json: has no {field}; prepare it again$"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"format": 2}, "has format 2, but this lfbt reads up to 1; update lfbt"),
        ({"leads": ["II", 3]}, r"field leads\[1\]: .*`int`; prepare it again"),
        ({"counts": {"train": 5}}, r"field counts\[...\]: .*`int`; prepare it again"),
        ({"source": "ptbxl"}, "field source: .*`str`; prepare it again"),
        ({"synthetic": "no"}, "field synthetic: .*`str`; prepare it again"),
        ([], "holds list, not a JSON object"),
    ],
    ids=str,
)
def test_manifest_with_a_bad_field_is_refused_by_name(tmp_path, content, message):
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(LfbtError, match=rf"^{tmp_path}/dataset\.json: {message}"):
        DatasetManifest.load(tmp_path)


def test_manifest_that_is_absent_is_refused(tmp_path):
    with pytest.raises(LfbtError, match=r"dataset\.json: cannot be read"):
        DatasetManifest.load(tmp_path)
