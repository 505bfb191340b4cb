"""Which leads and which parts of the time count, with the verdict of the deletion test."""

import dataclasses

import numpy as np
import pytest

from lfbt.reports.blocks import Charts, Ecg, Paragraph, Table
from lfbt.reports.encoders import load_best
from lfbt.reports.material import gather
from lfbt.reports.why import why
from lfbt.runs.loading import load_runs


def loaded_of(trained, name):
    material = gather(load_runs(trained / name))
    return material, load_best(material, with_head=True)


def texts(section, style=None):
    blocks = [block for block in section.blocks if isinstance(block, Paragraph)]
    return [block.text for block in blocks if style is None or block.style == style]


@pytest.mark.parametrize("name", ["probe", "multi"])
def test_leads_time_and_the_deletion_test_are_there(trained, name):
    section = why(*loaded_of(trained, name))
    (table,) = (block for block in section.blocks if isinstance(block, Table))
    assert sorted(str(row.cells[0]) for row in table.rows) == ["II", "V1"]
    lost = [float(str(row.cells[1])) for row in table.rows]
    assert lost == sorted(lost, reverse=True)
    assert len([block for block in section.blocks if isinstance(block, Ecg)]) == 1
    assert len([block for block in section.blocks if isinstance(block, Charts)]) == 1
    assert any("With the 5 of 20 windows hidden" in text for text in texts(section))
    assert not [text for text in texts(section, "warning") if "other probabilities" in text]


def test_saliency_that_explains_nothing_says_so(trained):
    material, loaded = loaded_of(trained, "probe")
    assert not isinstance(loaded, str)

    class Blind:
        """A model that says the same of everything."""

        def __getattr__(self, name):
            return getattr(loaded.model, name)

        def compute(self, signals):
            return loaded.model.compute(signals)[0], np.zeros((len(signals), 3), np.float32)

    thirds = lambda embeddings: np.full((len(embeddings), 3), 1 / 3)  # noqa: E731
    section = why(material, dataclasses.replace(loaded, model=Blind(), classify=thirds))
    assert "The interval is not above 0: this saliency explains nothing. Do not read the marks." in texts(
        section, "warning"
    )
    assert any("gives other probabilities here than the run has recorded" in text for text in texts(section, "warning"))


def test_lead_that_is_needed_loses_auroc_and_another_nothing(trained):
    material, loaded = loaded_of(trained, "probe")
    assert not isinstance(loaded, str)
    classify = loaded.classify
    assert classify is not None

    def of_first(embeddings):
        only = embeddings.copy()
        only[:, 64:] = 0
        return classify(only)

    changed = dataclasses.replace(loaded, classify=of_first)
    (table,) = (block for block in why(material, changed).blocks if isinstance(block, Table))
    change = {row.cells[0]: float(str(row.cells[3])) for row in table.rows}
    assert change["II"] != change["V1"]


@pytest.mark.parametrize("name", ["folds", "leads"])
def test_no_classifier_is_a_line(trained, name):
    (block,) = why(*loaded_of(trained, name)).blocks
    assert isinstance(block, Paragraph)
    assert block.text.endswith("so nothing can be asked of it.")
