"""The paper's trials and figures, and split sizes as published or not, by hand-made numbers."""

import math
from collections import Counter

import pytest

from lfbt.paper.protocol import SIZES, compare_sizes, list_cells


@pytest.mark.parametrize(
    ("name", "sizes", "expected"),
    [
        ("ningbo", (34905, 0, 0), "as in the paper"),
        ("ptbxl", (12978, 1642, 1652), "as in the paper (release 1.0.1)"),
        ("ptbxl", (12957, 1637, 1650), "as in release 1.0.3"),
        ("cpsc2018", (8958, 1303, 2598), "as in the paper"),
        ("chapman", (7651, 851, 2126), "as in the paper"),
        ("chapman", (7664, 852, 2130), "as in the whole download"),
    ],
)
def test_compare_sizes_knows_the_published_ones(name, sizes, expected):
    assert compare_sizes(name, sizes) == (True, expected)
    train, val, test = sizes
    # One record less is a part, unless it was left out for its quality.
    fewer = (train - 1, val, test)
    as_published, verdict = compare_sizes(name, fewer)
    assert not as_published
    assert str(sum(fewer)) in verdict
    assert str(sum(next(iter(SIZES[name].values())))) in verdict
    assert compare_sizes(name, fewer, 1) == (True, f"{expected}, but for 1 left out for their quality")
    assert not compare_sizes(name, (train + 1, val, test))[0]


def test_compare_sizes_takes_only_the_sum_of_splits_drawn_by_chance():
    assert compare_sizes("cpsc2018", (8958 - 10, 1303, 2598 + 10)) == (True, "as in the paper, split otherwise")
    assert not compare_sizes("ptbxl", (12957 - 10, 1637, 1650 + 10))[0]
    assert not compare_sizes("ptbxl", (12957 - 11, 1637, 1650 + 10), 1)[0]


def test_sizes_follow_from_rounding_as_scikit_learn_does():
    for n, sizes in ((10646, SIZES["chapman"]["the whole download"]), (10628, SIZES["chapman"]["the paper"])):
        n_test = math.ceil(0.2 * n)
        n_val = math.ceil(0.1 * (n - n_test))
        assert sizes == (n - n_test - n_val, n_val, n_test)


def test_list_cells_has_both_probes_four_fractions_and_as_many_from_scratch():
    found = list_cells(["ptbxl", "chapman"])
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


def test_cell_has_the_papers_figures_only_for_its_own_trials():
    known = {(cell.data, cell.kind): cell.paper for cell in list_cells(["ptbxl", "cpsc2018", "chapman"]) if cell.paper}
    assert known == {
        ("ptbxl", "probe"): (0.9082, 0.6923),
        ("ptbxl", "finetune"): (0.9178, 0.7257),
        ("cpsc2018", "probe"): (0.9360, 0.7258),
        ("cpsc2018", "finetune"): (0.9536, 0.7892),
        ("chapman", "probe"): (0.9934, 0.9801),
        ("chapman", "finetune"): (0.9970, 0.9910),
    }
    of_paper = [cell for cell in list_cells(["ptbxl", "cpsc2018", "chapman"]) if cell.paper]
    assert len(of_paper) == 6
    assert {cell.fraction for cell in of_paper} == {1.0}
