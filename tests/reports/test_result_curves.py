"""Curves of the best run beside its reference, one chart a class."""

import pytest
from tests.reports.helpers import CLASSES, write_series

from lfbt.reports.blocks import Charts
from lfbt.reports.material import gather
from lfbt.reports.result_curves import curve_blocks
from lfbt.runs.loading import load_run, load_runs


def test_each_class_has_a_band_of_the_best_and_a_line_of_the_reference(tmp_path):
    folders = [
        write_series(tmp_path / "good", 3.0),
        write_series(tmp_path / "random", 0.2, encoder={"checkpoint": None}),
    ]
    material = gather([load_run(trial) for folder in folders for trial in sorted(folder.iterdir())])
    roc, recall, calibration = (block for block in curve_blocks(material) if isinstance(block, Charts))
    for block in (roc, recall):
        assert {chart.title.split(",")[0] for chart in block.charts} == set(CLASSES)
        for chart in block.charts:
            assert [mark.kind for mark in chart.marks] == ["rule", "dashed", "band", "line"]
            assert [name for _, name in chart.legend] == ["random", "good"]
    assert [name.split(",")[0] for _, name in calibration.charts[0].legend] == ["good", "random"]


@pytest.mark.parametrize("name", ["multi", "folds", "probe"])
def test_curves_are_drawn_of_every_kind_of_task(trained, name):
    blocks = [block for block in curve_blocks(gather(load_runs(trained / name))) if isinstance(block, Charts)]
    assert [len(block.charts) for block in blocks] == [3, 3, 1]
    assert ("all classes together" in blocks[2].caption) == (name == "multi")
