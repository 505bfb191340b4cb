"""The linear classifier: standardised embeddings, probabilities, and exact round trips."""

import json

import pytest
import torch
from tests.models.helpers import edit
from tests.outputs import assert_same_tensors

import lfbt
from lfbt.errors import LfbtError
from lfbt.models.config import LeadDropout
from lfbt.models.feature_maps import RICH
from lfbt.models.heads import Head, load_head, save_head
from lfbt.utils.tensors import seeded


def random_embeddings(n_records=6, n_inputs=4):
    return 3 + 2 * torch.randn(n_records, n_inputs, generator=torch.Generator().manual_seed(0))


def some_head(exclusive=True):
    with seeded(2):
        head = Head(4, 3, exclusive)
    head.standardise(random_embeddings())
    return head


def test_head_is_a_linear_layer_on_embeddings_as_they_are_at_first():
    head, x = Head(4, 3), random_embeddings()
    assert torch.equal(head.standardised(x), x)
    assert torch.equal(head(x), head.linear(x))


def test_head_standardise_takes_mean_and_deviation_of_the_embeddings():
    head, x = some_head(), random_embeddings()
    standardised = head.standardised(x)
    torch.testing.assert_close(standardised.mean(dim=0), torch.zeros(4))
    torch.testing.assert_close(standardised.std(dim=0, correction=0), torch.ones(4))
    torch.testing.assert_close(head(x), head.linear(standardised))


def test_head_standardise_only_centres_a_constant_feature():
    head, x = Head(4, 3), random_embeddings()
    x[:, 1] = 7
    head.standardise(x)
    assert head.standardised(x)[:, 1].tolist() == [0.0] * 6


def test_head_probabilities_of_exclusive_classes_add_up_to_one():
    logits = torch.tensor([[0.0, 0.0], [1.0, 3.0]])
    assert Head(1, 2).probabilities(logits)[0].tolist() == [0.5, 0.5]
    torch.testing.assert_close(torch.from_numpy(Head(1, 2).probabilities(logits)), logits.softmax(dim=1))
    several = torch.from_numpy(Head(1, 2, exclusive=False).probabilities(logits))
    torch.testing.assert_close(several, 1 / (1 + torch.exp(-logits)))


@pytest.mark.parametrize("exclusive", [True, False])
def test_save_head_and_load_head_round_trip_bit_by_bit(tmp_path, exclusive):
    head = some_head(exclusive)
    save_head(tmp_path / "head", head, ["a", "b", "c"])
    loaded, classes = load_head(tmp_path / "head")
    assert classes == ("a", "b", "c")
    assert (loaded.exclusive, loaded.training) == (exclusive, False)
    assert_same_tensors(loaded.state_dict(), head.state_dict())


def test_save_head_writes_all_that_use_needs(tmp_path):
    save_head(tmp_path, some_head(), ["a", "b", "c"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    assert json.loads((tmp_path / "config.json").read_text()) == {
        "format": 1,
        "lfbt_version": lfbt.__version__,
        "classes": ["a", "b", "c"],
        "n_inputs": 4,
        "exclusive": True,
    }


def test_load_head_refuses_weights_of_another_head(tmp_path):
    save_head(tmp_path, some_head(), ["a", "b"])
    with pytest.raises(LfbtError, match=r"model\.safetensors: does not hold the weights .*size mismatch"):
        load_head(tmp_path)


def test_head_sets_absent_features_to_zero_and_scales_the_others_up():
    """Two of four are there, or one, or all."""
    nan = float("nan")
    head = Head(4, 3, lead_dropout=LeadDropout(0.5, {"a": ("II",)}))
    x = torch.tensor([[1.0, nan, nan, 3.0], [nan, nan, 2.0, nan], [1.0, 2.0, 3.0, 4.0]])
    filled = torch.tensor([[2.0, 0.0, 0.0, 6.0], [0.0, 0.0, 8.0, 0.0], [1.0, 2.0, 3.0, 4.0]])
    assert torch.equal(head.without_absent(x), filled)
    assert torch.equal(head(x), head.linear(filled))


def test_head_without_lead_dropout_gives_nan_where_features_are_absent():
    assert Head(2, 3)(torch.tensor([[1.0, float("nan")]])).isnan().all()


def test_head_without_absent_has_no_gradient_that_is_not_finite():
    head, x = Head(4, 3, lead_dropout=LeadDropout(0.5, {"a": ("II",)})), torch.randn(2, 4, requires_grad=True)
    present = torch.tensor([[True, False, True, False], [True, True, True, True]])
    head(torch.where(present, x, torch.nan)).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    assert (x.grad != 0).tolist() == present.tolist()


def test_save_head_keeps_the_subsets_that_are_served(tmp_path):
    dropout = LeadDropout(0.25, {"limb": ("I", "II"), "V1": ("V1",)})
    save_head(tmp_path, Head(4, 3, lead_dropout=dropout), ["a", "b", "c"])
    assert load_head(tmp_path)[0].lead_dropout == dropout
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["lead_dropout"] == {"probability": 0.25, "subsets": {"limb": ["I", "II"], "V1": ["V1"]}}


def test_head_keeps_its_features_and_weighs_standardised_ones(tmp_path):
    head = Head(4, 2, features=RICH)
    embeddings = torch.tensor([[0.0, 1.0, 2.0, 5.0], [2.0, 3.0, 6.0, 5.0]])
    head.standardise(embeddings, torch.from_numpy(RICH.weights(1, 4)))
    assert head.standardised(embeddings).tolist() == [[-1, -1, -3, 0], [1, 1, 3, 0]]
    save_head(tmp_path, head, ("A", "B"))
    loaded, _ = load_head(tmp_path)
    assert loaded.features == RICH
    assert torch.equal(loaded(embeddings), head(embeddings))


@pytest.mark.parametrize(
    "changes",
    [{"blocks": [5, 4]}, {"blocks": [6]}, {"blocks": []}, {"statistics": []}, {"statistics": ["mode"]}, {"name": "x"}],
)
def test_load_head_refuses_features_that_it_cannot_compute(tmp_path, changes):
    save_head(tmp_path, Head(4, 2, features=RICH), ("A", "B"))
    edit(tmp_path, features=json.loads((tmp_path / "config.json").read_text())["features"] | changes)
    with pytest.raises(LfbtError, match=r"config.json: field features"):
        load_head(tmp_path)


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_load_head_refuses_deviations_that_are_none(tmp_path, value):
    head = some_head()
    head.std[2] = value
    save_head(tmp_path, head, ["a", "b", "c"])
    with pytest.raises(LfbtError, match="std holds a deviation that is not above 0"):
        load_head(tmp_path)


def test_load_head_makes_no_head_larger_than_its_file(tmp_path):
    save_head(tmp_path, some_head(), ["a", "b", "c"])
    edit(tmp_path, n_inputs=10**6, classes=[str(number) for number in range(10**4)])
    with pytest.raises(LfbtError, match=f"describes {10**10}; restore both files"):
        load_head(tmp_path)
