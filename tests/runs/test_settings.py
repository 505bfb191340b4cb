"""`settings.json`: settings and what they were applied to side by side, files of the last version load."""

import json
from pathlib import Path

import pytest

from lfbt.errors import LfbtError
from lfbt.runs.settings import RunSettings

SERIES = RunSettings(
    lfbt_version="0.1.0",
    settings={"data_dir": Path("data"), "seeds": (0, 1), "epochs": 5},
    kind="probe",
    data_hash="e975",
    encoder="6bfd",
    synthetic=True,
)


def write(folder, content):
    (folder / "settings.json").write_text(json.dumps(content))


def test_save_has_settings_beside_what_they_were_applied_to(tmp_path):
    SERIES.save(tmp_path)
    content = json.loads((tmp_path / "settings.json").read_text())
    assert content["format"] == 1
    assert (content["data_dir"], content["seeds"], content["epochs"]) == ("data", [0, 1], 5)
    assert (content["kind"], content["encoder"], content["data_hash"]) == ("probe", "6bfd", SERIES.data_hash)
    assert "settings" not in content


def test_save_and_load_are_inverse_but_for_python_types(tmp_path):
    SERIES.save(tmp_path)
    loaded = RunSettings.load(tmp_path)
    assert loaded.to_dict() == SERIES.to_dict()
    assert loaded.settings == {"data_dir": "data", "seeds": [0, 1], "epochs": 5}


def test_load_reads_the_last_versions_file_of_a_pretraining(tmp_path):
    """It has neither a format nor a kind."""
    settings = {"data_dir": ["data"], "run_dir": "pre", "epochs": 4, "leads": [], "exclude": None}
    known = {"records": 147, "data_hash": "e9", "synthetic": True, "names_assumed": False, "quality_hash": "e9"}
    write(tmp_path, {"lfbt_version": "0.1.0", **settings, **known})
    loaded = RunSettings.load(tmp_path)
    assert loaded.settings == settings
    assert (loaded.kind, loaded.records, loaded.data_hash, loaded.quality_hash) == ("pretrain", 147, "e9", "e9")
    assert (loaded.synthetic, loaded.records_hash, loaded.processes) == (True, None, None)


def test_load_reads_the_last_versions_file_of_a_series(tmp_path):
    """It does not record whether the data is synthetic."""
    settings = {"data_dir": "data", "seeds": [0, 1], "fraction": [0.5, 1.0]}
    write(tmp_path, {"lfbt_version": "0.1.0", "kind": "probe", "data_hash": "e9", "encoder": None, **settings})
    loaded = RunSettings.load(tmp_path)
    assert (loaded.settings, loaded.kind, loaded.encoder) == (settings, "probe", None)


def test_load_names_file_field_and_remedy(tmp_path):
    write(tmp_path, {"editor.tabSize": 4})
    message = r"settings\.json: .*`lfbt_version`; it was edited, or is another program's$"
    with pytest.raises(LfbtError, match=message):
        RunSettings.load(tmp_path)
    write(tmp_path, {"lfbt_version": "0.1.0", "records": "many"})
    with pytest.raises(LfbtError, match=r"settings\.json: field records: .*; it was edited"):
        RunSettings.load(tmp_path)


def test_load_refuses_a_newer_format(tmp_path):
    write(tmp_path, {"format": 2, **SERIES.to_dict()})
    with pytest.raises(LfbtError, match=r"settings\.json: has format 2, but this lfbt reads up to 1; update lfbt"):
        RunSettings.load(tmp_path)


def test_compared_has_the_kind_and_settings_first_and_no_version():
    names = list(SERIES.compared())
    assert names[:4] == ["kind", "data_dir", "seeds", "epochs"]
    assert set(names[4:]) == {"data_hash", "encoder"}
    assert not {"lfbt_version", "synthetic", "names_assumed", "format"} & set(names)
