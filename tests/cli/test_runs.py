"""``lfbt runs`` on runs of the commands; `tests/reports/test_run_list.py` has the list itself."""

from tests.cli.helpers import output_of, refused


def test_runs_lists_every_run_below_a_folder(chain):
    head, *rows = output_of("runs", chain).splitlines()
    assert head.split()[:4] == ["run", "kind", "state", "epoch"]
    assert [row.split()[:3] for row in rows] == [
        ["finetune", "finetune", "finished"],
        ["pretrain", "pretrain", "finished"],
        ["probe", "probe", "finished"],
        ["random", "probe", "finished"],
        ["scratch", "scratch", "finished"],
    ]


def test_runs_lists_the_working_directory_by_default(chain, monkeypatch):
    monkeypatch.chdir(chain)
    assert output_of("runs").splitlines()[1:] == output_of("runs", chain).splitlines()[1:]


def test_runs_refuses_a_folder_without_runs_in_one_line(tmp_path):
    assert f"{tmp_path} holds no run of lfbt pretrain, probe or finetune" in refused("runs", tmp_path)
