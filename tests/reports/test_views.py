"""Views of a record as pretraining draws them."""

import dataclasses

import pytest

from lfbt.data.layouts import open_dataset
from lfbt.errors import LfbtError
from lfbt.reports.blocks import Charts, Paragraph
from lfbt.reports.material import gather
from lfbt.reports.views import views
from lfbt.runs.loading import load_run, load_runs


def test_record_is_beside_two_views_of_the_same_leads(trained):
    (block,) = views(gather([load_run(trained / "pretrain")])).blocks
    assert isinstance(block, Charts)
    assert [chart.title for chart in block.charts] == ["The record", "View 1", "View 2"]
    assert all([name for _, name in chart.legend] == ["II", "V1"] for chart in block.charts)
    assert len({chart.marks for chart in block.charts}) == 3
    assert "A view is a part of 50 % to 100 % of the record, stretched to all of its time" in block.caption


def test_fixed_crop_and_distortions_are_said(trained):
    material = gather([load_run(trained / "pretrain")])
    run = material.pretrainings[0]
    settings = run.settings.settings | {"crop": "fixed", "noise": 0.1, "shortest_crop": 0.5}
    changed = dataclasses.replace(run, settings=dataclasses.replace(run.settings, settings=settings))
    (block,) = views(dataclasses.replace(material, pretrainings=(changed,))).blocks
    assert isinstance(block, Charts)
    assert "A view is a part of 50 % of the record, of which" in block.caption
    assert "This run has noise on top of it, not drawn here." in block.caption


def test_settings_out_of_range_are_refused(trained):
    material = gather([load_run(trained / "pretrain")])
    run = material.pretrainings[0]
    for changes in ({"shortest_crop": 7.0}, {"longest_time_out": -1.0}):
        settings = run.settings.settings | changes
        changed = dataclasses.replace(run, settings=dataclasses.replace(run.settings, settings=settings))
        with pytest.raises(LfbtError, match=next(iter(changes))):
            views(dataclasses.replace(material, pretrainings=(changed,)))


def test_encoder_without_pretraining_has_no_views(trained):
    (block,) = views(gather(load_runs(trained / "random-s0"))).blocks
    assert isinstance(block, Paragraph)
    assert block.text == "No pretraining is among these runs and their encoders: there were no views."


def test_views_follow_from_the_record_and_a_seed(trained):
    material = gather([load_run(trained / "pretrain")])
    assert views(material) == views(material)
    assert material.dataset is not None
    assert material.dataset.hash == open_dataset(trained / "data").hash
