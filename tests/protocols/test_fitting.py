"""Training on windows: averages over windows by hand, what is kept, and that a separable task is learned."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from lfbt.errors import LfbtError
from lfbt.models.heads import Head
from lfbt.protocols.fitting import WindowClassifier, fit, macro_auroc
from lfbt.protocols.pooler import AttentivePooler
from lfbt.protocols.settings import PROTOCOLS
from lfbt.protocols.tasks import LabelledTask
from lfbt.utils.tensors import seeded

LINEAR, ATTENTIVE = PROTOCOLS["linear"], PROTOCOLS["attentive"]


def identity_classifier(exclusive=False):
    """Logits are the two inputs."""
    head = Head(2, 2, exclusive)
    with torch.no_grad():
        head.linear.weight.copy_(torch.eye(2))
        head.linear.bias.zero_()
    return WindowClassifier(nn.Identity(), head)


def separable(exclusive=False):
    """90 records of two classes with three windows of four tokens: the first feature tells the classes apart."""
    first = np.arange(90) % 2 == 0
    targets = np.stack([first, ~first], axis=1)
    inputs = torch.from_numpy(np.random.default_rng(0).normal(size=(90, 3, 4, 8)).astype(np.float32))
    inputs[..., 0] += torch.where(torch.from_numpy(first), 4.0, -4.0)[:, None, None]
    rows = {"train": np.arange(50), "val": np.arange(50, 70), "test": np.arange(70, 90)}
    return inputs, LabelledTask("form", ("a", "b"), targets, rows, exclusive)


def test_classify_averages_probabilities_or_logits_over_windows():
    # One record of two windows, whose logits are ±ln 3: probabilities 3/4 and 1/4.
    log3 = float(np.log(3))
    inputs = torch.tensor([[[log3, log3], [-log3, log3]]])
    model = identity_classifier()
    probabilities, logits = model.classify(inputs, LINEAR)
    np.testing.assert_allclose(probabilities, [[0.5, 0.75]], rtol=1e-6)
    torch.testing.assert_close(logits, torch.tensor([[0.0, log3]]))
    inputs[0, 0, 0] = 3 * log3
    # Of probabilities (27/28 + 1/4) / 2; of logits the one of ln 3.
    np.testing.assert_allclose(model.classify(inputs, LINEAR)[0][0, 0], (27 / 28 + 1 / 4) / 2, rtol=1e-6)
    np.testing.assert_allclose(model.classify(inputs, ATTENTIVE)[0][0, 0], 3 / 4, rtol=1e-6)


def test_classify_of_exclusive_classes_adds_up_to_one():
    probabilities, _ = identity_classifier(exclusive=True).classify(torch.randn(5, 3, 2), LINEAR)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)


def test_macro_auroc_leaves_out_classes_without_either_side():
    # Of the first class two of three pairs are in order; the second has no positive.
    targets = np.array([[1, 0], [0, 0], [0, 0], [0, 0]], dtype=bool)
    probabilities = np.array([[0.5, 0.1], [0.9, 0.2], [0.1, 0.3], [0.2, 0.4]])
    assert macro_auroc(probabilities, targets) == pytest.approx(2 / 3)


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("name", ["linear", "attentive"])
def test_fit_learns_a_separable_task(name, exclusive):
    inputs, task = separable(exclusive)
    protocol = dataclasses.replace(PROTOCOLS[name], steps=20)
    with seeded(0):
        pooler = AttentivePooler(8, 2) if name == "attentive" else nn.Identity()
        model = WindowClassifier(pooler, Head(8, 2, exclusive))
    if name == "linear":
        inputs = inputs.mean(dim=2)
    fitted = fit(model, inputs, task, task.rows["train"], protocol, 60, seed=0)
    assert macro_auroc(fitted.probabilities["test"], task.targets[70:]) > 0.95
    assert fitted.probabilities["test"].shape == (20, 2)
    assert fitted.chosen["val_auroc"] > 0.95
    assert len(fitted.history) == 60


def test_fit_keeps_the_first_round_of_the_highest_auroc(monkeypatch):
    inputs, task = separable()
    aurocs = iter([0.6, 0.9, 0.7, 0.9, 0.8])
    monkeypatch.setattr("lfbt.protocols.fitting.macro_auroc", lambda *_: next(aurocs))
    model = WindowClassifier(nn.Identity(), Head(8, 2, exclusive=False))
    fitted = fit(model, inputs.mean(dim=2), task, task.rows["train"], LINEAR, 5, seed=0)
    assert fitted.chosen == {"epoch": 2, "val_auroc": 0.9}
    assert fitted.val_loss == fitted.history[1].val_loss


def test_fit_is_the_same_with_the_same_seed_and_another_with_another():
    inputs, task = separable()
    probabilities = []
    for seed in (0, 0, 1):
        with seeded(5):
            model = WindowClassifier(nn.Identity(), Head(8, 2, exclusive=False))
        fitted = fit(model, inputs.mean(dim=2), task, task.rows["train"], LINEAR, 2, seed)
        probabilities.append(fitted.probabilities["test"])
    np.testing.assert_array_equal(probabilities[0], probabilities[1])
    assert (probabilities[0] != probabilities[2]).any()


def test_fit_reads_labels_of_the_training_rows_given_only():
    inputs, task = separable()
    first_ten = task.rows["train"][:10]
    other = task.targets.copy()
    other[10:50] ^= True
    found = []
    for targets in (task.targets, other):
        with seeded(5):
            model = WindowClassifier(nn.Identity(), Head(8, 2, exclusive=False))
        changed = dataclasses.replace(task, targets=targets)
        found.append(fit(model, inputs.mean(dim=2), changed, first_ten, LINEAR, 3, 0).probabilities["test"])
    np.testing.assert_array_equal(found[0], found[1])


def test_fit_refuses_a_loss_that_is_not_finite():
    inputs, task = separable()
    model = WindowClassifier(nn.Identity(), Head(8, 2, exclusive=False))
    with pytest.raises(LfbtError, match="form: the loss of round 1 is not finite"):
        fit(model, inputs.mean(dim=2) * torch.inf, task, task.rows["train"], LINEAR, 1, 0)
