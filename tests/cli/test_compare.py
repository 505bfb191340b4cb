"""``lfbt compare`` on runs of the commands; `tests/reports` has the figures themselves."""

from tests.cli.helpers import everything, output_of, read_json, refused


def test_compare_prints_a_row_a_run_and_writes_the_same(chain, tmp_path):
    out = tmp_path / "compare"
    output = output_of("compare", chain / "probe", chain / "random", "--draws", 50, "--out", out)
    assert output == (out / "compare.txt").read_text() + f"{out}\n"
    shared, _, head, probe, random, *_ = output.splitlines()
    assert shared.startswith("All rows: kind probe (adam), ")
    assert head.startswith("run (SYNTHETIC data)  encoder ")
    for run, row in (("probe", probe), ("random", random)):
        auroc = read_json(chain / run / "results.json")["test"]["auroc"]
        assert row.split()[0] == run
        assert f" {auroc:.4f} [" in row
    assert "50 draws of test patients (seed 0)" in output


def test_compare_without_out_writes_nothing(chain, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert output_of("compare", chain / "probe", chain / "random", "--draws", 5).splitlines()[3].startswith("probe ")
    assert everything(tmp_path) == []


def test_compare_refuses_a_folder_without_results_in_one_line(chain, tmp_path):
    message = refused("compare", chain / "pretrain", "--out", tmp_path / "to")
    assert str(chain / "pretrain") in message
    assert everything(tmp_path) == []
