"""Small runs that every section of a report has something to show of."""

from typing import Any

import pytest
from tests.factories import LABELS, SPLIT, waves, write_checkpoint, write_labelled, write_multi_label

from lfbt.evaluation.probing import run_probe
from lfbt.evaluation.settings import ProbeSettings
from lfbt.training.pretraining import Pretrainer
from lfbt.training.settings import PretrainSettings

QUICK: dict[str, Any] = {"epochs": 2, "batch_size": 8, "device": "cpu"}


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A pretraining with quality, probes of a checkpoint over seeds and fractions, of random encoders, in folds, and
    multi-label, beside their data sets."""
    place = tmp_path_factory.mktemp("trained")
    more = {"dropped": {"short": 3}, "label_rule": "how fast it is", "unit": "mV"}
    data = write_labelled(place / "data", **more)
    people = [f"r{i},{('female', 'male', '')[i % 3]},{40 + i if i % 2 else ''}" for i in range(len(LABELS))]
    (data / "people.csv").write_text("\n".join(["id,sex,age", *people]) + "\n")
    multi, checkpoint = write_multi_label(place / "multi-data"), write_checkpoint(place / "checkpoint")
    run_probe(ProbeSettings.create(data, place / "probe", checkpoint=checkpoint, seeds=(0, 1, 2), **QUICK))
    run_probe(ProbeSettings.create(data, place / "curve", checkpoint=checkpoint, fraction=(0.5, 1.0), **QUICK))
    run_probe(ProbeSettings.create(data, place / "leads", checkpoint=checkpoint, lead_subsets=(("II",),), **QUICK))
    for seed in (0, 1):
        run_probe(ProbeSettings.create(data, place / f"random-s{seed}", random_encoder=True, seeds=(seed,), **QUICK))
    folds = {"folds": 3, "classifier": "logistic", "device": "cpu"}
    run_probe(ProbeSettings.create(data, place / "folds", checkpoint=checkpoint, **folds))
    run_probe(ProbeSettings.create(multi, place / "multi", checkpoint=checkpoint, **QUICK))
    settings = PretrainSettings.create(
        (data,), place / "pretrain", projector="8", quality_data=data, quality_every=1, **QUICK
    )
    Pretrainer(settings).run()
    return place


def unlabelled_like(place):
    """A data set as the labelled one, of z-scores."""
    return write_labelled(place, signals=waves([0] * len(LABELS)), split=SPLIT, unit="z-score (record)")
