"""``lfbt runs`` on runs of the commands; `tests/reports/test_run_list.py` has the list itself."""

from tests.cli.helpers import output_of, refused


def test_runs_lists_every_run_below_a_folder(chain):
    lines = output_of("runs", chain).splitlines()
    assert lines[0].split()[:3] == ["pretraining", "state", "epoch"]
    assert lines[1].split()[:2] == ["pretrain", "finished"]
    assert lines[3].split()[:3] == ["classifier", "kind", "state"]
    assert [row.split()[:3] for row in lines[4:]] == [
        ["finetune", "finetune", "finished"],
        ["probe", "probe", "finished"],
        ["random", "probe", "finished"],
        ["scratch", "scratch", "finished"],
    ]


def test_runs_lists_the_working_directory_by_default(chain, monkeypatch):
    monkeypatch.chdir(chain)
    assert output_of("runs").splitlines()[1:] == output_of("runs", chain).splitlines()[1:]


def test_runs_refuses_a_folder_without_runs_in_one_line(tmp_path):
    assert f"{tmp_path} holds no run of lfbt pretrain, probe or finetune" in refused("runs", tmp_path)
