"""Published figures: transcribed right, and selected for what ours are of."""

import pytest

from lfbt.protocols.published import FIGURES, select_figures
from lfbt.protocols.settings import TASKS


def figure(method, how, task):
    data = "cpsc2018" if task == "diagnosis" else "ptbxl"
    (found,) = [one.auroc for one in FIGURES if (one.method, one.how, one.data, one.task) == (method, how, data, task)]
    return found


@pytest.mark.parametrize(
    ("method", "how", "task", "auroc"),
    [
        ("ECGFounder", "linear", "statements", 0.931),
        ("ECGFounder", "fine-tuned", "superclass", 0.935),
        ("ECG-JEPA (Kim)", "linear", "form", 0.908),
        ("ECG-CPC", "fine-tuned", "rhythm", 0.959),
        ("MERL", "linear", "subclass", 0.895),
        ("HuBERT-ECG", "fine-tuned", "diagnosis", 0.956),
        ("S4", "supervised", "diagnostic", 0.943),
        ("ECG-JEPA, ViT-S on MIMIC-IV-ECG", "attentive", "single", 0.921),
        ("ECG-JEPA, ViT-XS on PTB-XL only", "fine-tuned", "statements", 0.940),
        ("LFBT of the paper", "linear", "single", 0.908),
        ("MiniRocket + logistic regression", "frozen", "statements", 0.796),
    ],
)
def test_figures_are_those_of_the_source(method, how, task, auroc):
    assert figure(method, how, task) == auroc


def test_figures_have_tasks_that_there_are_and_a_source_and_none_twice():
    known = {(data, task) for data, tasks in TASKS.items() for task in tasks}
    for one in FIGURES:
        assert (one.data, one.task) in known
        assert 0.5 < one.auroc < 1
        assert one.source
    keys = [(one.method, one.how, one.data, one.task, one.fraction) for one in FIGURES]
    assert len(set(keys)) == len(keys)


def test_select_figures_takes_the_fractions_of_ours_and_all_labels():
    some = select_figures("ptbxl", ["diagnostic"], "attentive", [0.01])
    assert {one.fraction for one in some} == {0.01, 1.0}
    assert [one.auroc for one in some if one.fraction == 0.01] == [0.771, 0.636]
    assert some[0].how == "attentive"


def test_select_figures_leaves_out_the_other_protocol_and_other_tasks():
    found = select_figures("ptbxl", ["single"], "linear", [1.0])
    assert [one.how for one in found] == ["linear", *["fine-tuned"] * 4]
    assert {one.task for one in found} == {"single"}
