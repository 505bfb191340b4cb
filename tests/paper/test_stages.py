"""The stages of a reproduction and their settings."""

import functools
from pathlib import Path

import pytest

from lfbt.evaluation.settings import FittingSettings, TrainingSettings
from lfbt.paper.settings import ReproduceSettings
from lfbt.paper.stages import Part, list_stages, pretrain_settings
from lfbt.sources.listing import Entry, Listing
from lfbt.training.settings import PretrainSettings


def settings_of(stage):
    """What a stage gives to `probe` or `finetune`."""
    assert isinstance(stage.run, functools.partial)
    (settings,) = stage.run.args
    return settings


def fail(path):
    pytest.fail(f"{path} was read")


class Ten:
    """A source of ten recordings."""

    def listing(self, folder):
        return Listing([Entry(str(i), str(i), folder, fail) for i in range(10)], ("a",), "rule")


def test_part_chooses_recordings_by_chance_and_keeps_their_order():
    def ids(most):
        return [int(entry.id) for entry in Part(Ten(), most).listing(Path()).entries]

    assert ids(10) == ids(11) == list(range(10))
    assert len(ids(4)) == 4
    assert ids(4) == sorted(ids(4)) == ids(4)
    assert ids(4) not in ([0, 1, 2, 3], [0, 2, 4, 6], [0, 3, 6, 9])
    assert set(ids(4)) < set(ids(7))
    listing = Part(Ten(), 4).listing(Path())
    assert (listing.classes, listing.label_rule) == (("a",), "rule")


def test_list_stages_has_more_stages_for_more_seeds(tmp_path):
    settings = ReproduceSettings(tmp_path, seeds=(0, 3))
    found = list_stages(settings, ["ningbo", "cpsc2018"])
    folders = [stage.folder for stage in found]
    assert len(set(folders)) == len(folders) == 2 + 2 + 2 * 10
    one = [stage.folder for stage in list_stages(ReproduceSettings(tmp_path), ["ningbo", "cpsc2018"])]
    assert set(one) == {folder for folder in folders if not folder.endswith("-seed-3")}


def test_list_stages_has_the_papers_settings_by_default(tmp_path):
    settings = ReproduceSettings(tmp_path)
    pretraining, probing, tuning, scratch = (
        next(stage for stage in list_stages(settings, ["ningbo", "chapman"]) if stage.folder.startswith(kind))
        for kind in ("pretrain", "probe", "finetune", "scratch")
    )
    learned = pretrain_settings(settings, 0.6)
    assert pretraining.folder == "pretrain/gamma-0.8"
    assert learned == PretrainSettings.create(tmp_path / "data/ningbo", tmp_path / "pretrain/gamma-0.6", gamma=0.6)
    assert (learned.optimizer.epochs, learned.model.projector) == (200, "2048-2048-2048")
    probed, tuned, from_scratch = (settings_of(stage) for stage in (probing, tuning, scratch))
    encoder = tmp_path / "pretrain/gamma-0.6"
    assert (probed.fitting, probed.trials.fraction) == (FittingSettings(100, 128, "adam", (1e-3,)), (1.0,))
    assert probed.task.checkpoint == encoder
    assert (tuned.training, tuned.trials.fraction) == (TrainingSettings(100, 128, 1e-4), (0.1,))
    assert (tuned.task.checkpoint, tuned.from_scratch) == (encoder, False)
    assert (from_scratch.task.checkpoint, from_scratch.from_scratch) == (None, True)
