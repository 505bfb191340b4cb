"""The paper's trials and figures, split sizes as published or not, and the tables, by hand-made numbers."""

import math
from collections import Counter

import numpy as np
import pytest

from lfbt.paper.protocol import (
    SIZES,
    Cell,
    cells,
    compare_sizes,
    results_table,
    shown_results,
    shown_sizes,
    sizes_table,
)


def result(auroc, auprc, records=50, intervals=None):
    return {"test": {"auroc": auroc, "auprc": auprc, "records": records, "intervals": intervals}}


def manifest(train, val, test, **dropped):
    counts = {"train": {"a": train - 1, "b": 1}, "val": {"a": val, "b": 0}, "test": {"a": test, "b": 0}}
    return {"counts": counts, "dropped": dropped}


# --- split sizes ---


@pytest.mark.parametrize(
    ("name", "sizes", "said"),
    [
        ("ningbo", (34905, 0, 0), "as in the paper"),
        ("ptbxl", (12978, 1642, 1652), "as in the paper (release 1.0.1)"),
        ("ptbxl", (12957, 1637, 1650), "as in release 1.0.3"),
        ("cpsc2018", (8958, 1303, 2598), "as in the paper"),
        ("chapman", (7651, 851, 2126), "as in the paper"),
        ("chapman", (7664, 852, 2130), "as in the whole download"),
    ],
)
def test_published_sizes_are_known(name, sizes, said):
    assert compare_sizes(name, sizes) == (True, said)
    train, val, test = sizes
    # One record less is a part, unless it was left out for its quality.
    fewer = (train - 1, val, test)
    as_published, verdict = compare_sizes(name, fewer)
    assert not as_published
    assert str(sum(fewer)) in verdict
    assert str(sum(next(iter(SIZES[name].values())))) in verdict
    assert compare_sizes(name, fewer, 1) == (True, f"{said}, but for 1 left out for their quality")
    assert not compare_sizes(name, (train + 1, val, test))[0]


def test_splits_by_chance_may_differ_but_official_ones_may_not():
    assert compare_sizes("cpsc2018", (8958 - 10, 1303, 2598 + 10)) == (True, "as in the paper, split otherwise")
    assert not compare_sizes("ptbxl", (12957 - 10, 1637, 1650 + 10))[0]
    assert not compare_sizes("ptbxl", (12957 - 11, 1637, 1650 + 10), 1)[0]


def test_published_sizes_follow_from_rounding_as_scikit_learn_does():
    for n, sizes in ((10646, SIZES["chapman"]["the whole download"]), (10628, SIZES["chapman"]["the paper"])):
        n_test = math.ceil(0.2 * n)
        n_val = math.ceil(0.1 * (n - n_test))
        assert sizes == (n - n_test - n_val, n_val, n_test)


def test_the_table_of_sizes_counts_what_was_left_out_for_quality_only():
    table = sizes_table(
        {
            "ningbo": manifest(34900, 0, 0, flat=3, saturated=2),
            "ptbxl": manifest(300, 40, 50, **{"several labels": 70, "no label": 4, "not finite": 1, "file absent": 9}),
        }
    )
    assert table["data"].tolist() == ["Ningbo", "PTB-XL"]
    assert table[["train", "val", "test", "faulty"]].to_numpy().tolist() == [[34900, 0, 0, 5], [300, 40, 50, 1]]
    assert table[["paper_train", "paper_val", "paper_test"]].to_numpy().tolist() == [[34905, 0, 0], [12978, 1642, 1652]]
    assert table["as_published"].tolist() == [True, False]
    assert shown_sizes(table)[1:] == [
        ["Ningbo", "34900 / 0 / 0", "34905 / 0 / 0", "5", "as in the paper, but for 5 left out for their quality"],
        [
            "PTB-XL",
            "300 / 40 / 50",
            "12978 / 1642 / 1652",
            "1",
            "390 records, not the 16272 of the paper (release 1.0.1)",
        ],
    ]


# --- trials and their figures ---


def test_the_protocol_has_both_probes_four_fractions_and_as_many_from_scratch():
    found = cells(["ptbxl", "chapman"])
    assert Counter((cell.data, cell.kind) for cell in found) == {
        (name, kind): n for name in ("ptbxl", "chapman") for kind, n in (("probe", 2), ("finetune", 4), ("scratch", 4))
    }
    gammas = {(cell.data, cell.kind): cell.gamma for cell in reversed(found)}
    assert gammas == {
        ("ptbxl", "probe"): 0.8,
        ("ptbxl", "finetune"): 0.8,
        ("ptbxl", "scratch"): None,
        ("chapman", "probe"): 0.6,
        ("chapman", "finetune"): 0.6,
        ("chapman", "scratch"): None,
    }
    assert [cell.fraction for cell in found if (cell.data, cell.kind) == ("ptbxl", "scratch")] == [0.1, 0.2, 0.5, 1.0]
    names = [(cell.kind, cell.name) for cell in found]
    assert len(set(names)) == len(names) == 20
    assert ("finetune", "chapman-gamma-0.6-fraction-0.1") in names
    assert ("scratch", "ptbxl-fraction-1") in names


def test_only_the_papers_own_trials_have_its_figures():
    known = {(cell.data, cell.kind): cell.paper for cell in cells(["ptbxl", "cpsc2018", "chapman"]) if cell.paper}
    assert known == {
        ("ptbxl", "probe"): (0.9082, 0.6923),
        ("ptbxl", "finetune"): (0.9178, 0.7257),
        ("cpsc2018", "probe"): (0.9360, 0.7258),
        ("cpsc2018", "finetune"): (0.9536, 0.7892),
        ("chapman", "probe"): (0.9934, 0.9801),
        ("chapman", "finetune"): (0.9970, 0.9910),
    }
    of_paper = [cell for cell in cells(["ptbxl", "cpsc2018", "chapman"]) if cell.paper]
    assert len(of_paper) == 6
    assert {cell.fraction for cell in of_paper} == {1.0}


def test_one_seed_has_its_interval_and_several_their_spread():
    probe, scratch = Cell("ptbxl", "probe", 0.8), Cell("ptbxl", "scratch", None, 0.1)
    interval = {"auroc": [0.81, 0.93], "auprc": [0.5, 0.7]}
    table = results_table(
        {
            probe: [result(0.9, 0.6, intervals=interval)],
            scratch: [result(0.7, 0.4, 50, interval), result(0.5, 0.2, 50, interval)],
        }
    )
    one, two = table.to_dict("records")
    assert (one["auroc"], one["auroc_low"], one["auroc_high"], one["paper_auroc"]) == (0.9, 0.81, 0.93, 0.9082)
    assert (one["auprc"], one["auprc_low"], one["auprc_high"], one["paper_auprc"]) == (0.6, 0.5, 0.7, 0.6923)
    assert np.isnan([one["auroc_sd"], two["auroc_low"], two["auprc_high"], two["paper_auroc"], two["gamma"]]).all()
    # Two values a and b: their standard deviation with n - 1 is |a - b| / √2.
    assert two["auroc"] == pytest.approx(0.6)
    assert two["auroc_sd"] == pytest.approx(0.2 / math.sqrt(2))
    assert (one["seeds"], two["seeds"]) == (1, 2)
    assert shown_results(table)[1:] == [
        ["PTB-XL", "LP", "0.8", "1", "0.9000 [0.810, 0.930]", "0.9082", "0.6000 [0.500, 0.700]", "0.6923", "50"],
        ["PTB-XL", "TFS", "-", "0.1", "0.6000 ± 0.1414", "-", "0.3000 ± 0.1414", "-", "50"],
    ]


def test_figures_that_there_are_not_are_dashes():
    nothing = result(None, None, 3, {"auroc": None, "auprc": None})
    table = results_table({Cell("chapman", "finetune", 0.6, 0.5): [nothing]})
    assert shown_results(table)[1] == ["Chapman", "FT", "0.6", "0.5", "-", "-", "-", "-", "3"]
