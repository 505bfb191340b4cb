"""``lfbt report`` on runs of the commands; `tests/reports/test_page.py` has what is on the page."""

from tests.cli.helpers import everything, output_of, read_json, refused


def test_report_prints_its_table_and_where_the_page_is(chain, tmp_path):
    out = tmp_path / "report"
    output = output_of("report", chain / "pretrain", chain / "probe", chain / "finetune", "--out", out)
    head, probe, finetune, page = output.splitlines()
    assert head.split()[:3] == ["run", "kind", "leads"]
    for run, kind, row in (("probe", "linear probe", probe), ("finetune", "fine-tuned", finetune)):
        assert row.split()[0] == run
        assert kind in row
        assert f" {read_json(chain / run / 'results.json')['test']['auroc']:.4f} " in row
    assert page == str(out / "report.html")
    assert {"report.html", "results.csv"} <= set(everything(out))


def test_report_of_a_pretraining_alone_prints_the_page(chain, tmp_path):
    out = tmp_path / "report"
    assert output_of("report", chain / "pretrain", "--out", out) == f"{out / 'report.html'}\n"


def test_report_of_a_folder_of_runs_says_to_name_them(chain, tmp_path):
    message = refused("report", chain, "--out", tmp_path / "to")
    example = chain / "finetune"
    assert message == f"run: {chain} is not a run, but holds 5 runs; name them themselves, such as {example}"


def test_report_refuses_a_folder_without_a_run_in_one_line(chain, tmp_path):
    message = refused("report", chain / "download", "--out", tmp_path / "to")
    assert str(chain / "download") in message
    assert everything(tmp_path) == []
