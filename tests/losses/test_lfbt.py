"""The loss: against the method's double loop with explicit matrices, by hand, and under what must not matter."""

import math
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from tests.literal import literal_loss, literal_pair_loss

from lfbt.errors import LfbtError
from lfbt.losses import lfbt as loss_module
from lfbt.losses.lfbt import LFBTLoss, lead_pair_losses, lfbt_loss

# Records, leads, width: the first three have fewer records than features, the others more; one lead; a batch of two.
GRAM_SHAPES = [(6, 3, 16), (5, 1, 12), (2, 4, 9)]
PRODUCT_SHAPES = [(40, 3, 4), (30, 1, 5), (9, 8, 2)]


def assert_close(mine, literal, what=""):
    """Sums of a few thousand products in double precision: both forms agree to about 1e-13."""
    torch.testing.assert_close(mine, literal, rtol=1e-11, atol=1e-11, msg=lambda text: f"{what} {text}")


def standardised(n_records, n_leads, n_dims, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(2, n_records, n_leads, n_dims, generator=generator, dtype=dtype)
    z = (z - z.mean(1, keepdim=True)) / z.std(1, keepdim=True, correction=0)
    return z[0], z[1]


@pytest.fixture
def forms(monkeypatch):
    """The names of the internal forms as they are used."""
    used = []
    for name in ("_squares_by_gram", "_squares_by_products"):
        form = getattr(loss_module, name)

        def spy(one, other, name=name, form=form):
            used.append(name)
            return form(one, other)

        monkeypatch.setattr(loss_module, name, spy)
    return used


@pytest.mark.parametrize("gamma", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("lambd", [0.0051, 0.0, 2.0])
@pytest.mark.parametrize("shape", GRAM_SHAPES + PRODUCT_SHAPES)
def test_lfbt_loss_equals_the_literal_form_in_value_and_gradient(shape, gamma, lambd, forms):
    # One view more correlated with the other than chance, so that diagonals are not all near zero.
    z1, z2 = standardised(*shape)
    z2 = (z1 + 0.5 * z2).detach()
    inputs = [z1.requires_grad_(), z2.requires_grad_()]
    result = lfbt_loss(z1, z2, gamma, lambd)
    expected = literal_loss(z1, z2, gamma, lambd)
    for mine, literal in zip(result, expected, strict=True):
        assert_close(mine, literal)
    gradients = torch.autograd.grad(result.total, inputs)
    for mine, literal in zip(gradients, torch.autograd.grad(expected[0], inputs), strict=True):
        assert_close(mine, literal)
        assert mine.abs().max() > 1e-6
    assert forms == ["_squares_by_gram" if shape in GRAM_SHAPES else "_squares_by_products"]


@pytest.mark.parametrize("shape", GRAM_SHAPES + PRODUCT_SHAPES)
def test_squares_are_the_same_in_both_forms(shape):
    z1, z2 = standardised(*shape)
    squares = loss_module._squares_by_gram(loss_module._grams(z1, z1), loss_module._grams(z2, z2))
    assert_close(squares, loss_module._squares_by_products(z1, z2))


@pytest.mark.parametrize(
    ("shape", "form"), [((128, 8, 2048), "gram"), ((40, 8, 16), "gram"), ((60, 8, 16), "products")]
)
def test_lead_pair_losses_chooses_the_cheaper_form(shape, form, monkeypatch):
    """By hand, of eight leads: 16 B² D + 64 B² products against 64 B D², alike at B = 51 for D = 16."""
    forms = {f"_squares_by_{name}": Mock(return_value=torch.zeros(8, 8)) for name in ("gram", "products")}
    for name, stand_in in forms.items():
        monkeypatch.setattr(loss_module, name, stand_in)
    lfbt_loss(torch.zeros(shape), torch.zeros(shape))
    assert [name for name, stand_in in forms.items() if stand_in.called] == [f"_squares_by_{form}"]


def test_lfbt_loss_in_single_precision_is_close_to_double():
    """float32 against the literal form in float64: sums of 24 × 64 terms keep five digits."""
    z1, z2 = standardised(24, 4, 64)
    result = lfbt_loss(z1.float(), z2.float(), 0.8, 0.0051)
    for mine, literal in zip(result, literal_loss(z1, z2, 0.8, 0.0051), strict=True):
        assert mine.dtype == torch.float32
        torch.testing.assert_close(mine.double(), literal, rtol=1e-5, atol=0)


def test_lfbt_loss_has_the_papers_defaults():
    z1, z2 = standardised(6, 3, 5)
    assert lfbt_loss(z1, z2).total == lfbt_loss(z1, z2, gamma=0.8, lambd=0.0051).total


def test_lfbt_loss_by_hand():
    """Two records, two leads, two features, each +1 in one record and −1 in the other."""
    up, down = [1.0, -1.0], [-1.0, 1.0]
    # B L D from columns: each feature's values over the two records.
    z1 = torch.tensor([[up, up], [up, down]]).permute(2, 0, 1)
    z2 = torch.tensor([[up, down], [up, up]]).permute(2, 0, 1)
    # C_00 = [[1, −1], [1, −1]]: (1−1)² + (−1−1)² + λ (1 + 1). C_01 = all 1: 0 + 2λ.
    # C_10 = [[1, −1], [−1, 1]]: 0 + 2λ. C_11 = [[1, 1], [−1, −1]]: 0 + 4 + 2λ.
    pairs = lead_pair_losses(z1, z2, 0.5)
    torch.testing.assert_close(pairs, torch.tensor([[5.0, 1.0], [1.0, 5.0]]), rtol=0, atol=1e-6)
    total, intra, inter = lfbt_loss(z1, z2, 0.75, 0.5)
    assert [intra.item(), inter.item(), total.item()] == pytest.approx([5, 1, 4], rel=1e-6)


def test_lfbt_loss_of_equal_uncorrelated_features_is_zero():
    """Columns of a Hadamard matrix: C is the identity for every pair of leads."""
    h = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64)
    z = h[:, None, :].repeat(1, 3, 1)
    assert lfbt_loss(z, z).total.item() == pytest.approx(0, abs=1e-14)
    # In the opposite view each diagonal is −1: (−1 − 1)² for each of three features.
    assert lfbt_loss(z, -z).total.item() == pytest.approx(12, rel=1e-12)


def test_lfbt_loss_has_intra_of_equal_leads_and_inter_of_different_ones():
    z1, z2 = standardised(5, 4, 7)
    pairs = torch.stack([torch.stack([literal_pair_loss(a, b, 0.1) for b in z2.unbind(1)]) for a in z1.unbind(1)])
    assert_close(lead_pair_losses(z1, z2, 0.1), pairs)
    result = lfbt_loss(z1, z2, 0.3, 0.1)
    different = ~torch.eye(4, dtype=torch.bool)
    assert_close(result.intra, pairs.diagonal().mean())
    assert_close(result.inter, pairs[different].mean())


@pytest.mark.parametrize("gamma", [0.0, 0.6, 1.0])
def test_lfbt_loss_of_one_lead_has_no_inter_lead_loss(gamma):
    z1, z2 = standardised(6, 1, 8)
    result = lfbt_loss(z1, z2, gamma)
    assert result.total == result.intra > 0
    assert result.inter == 0


def test_lfbt_loss_at_the_ends_of_gamma_is_one_of_its_terms():
    z1, z2 = standardised(6, 3, 8)
    none, all_of_it = lfbt_loss(z1, z2, gamma=0), lfbt_loss(z1, z2, gamma=1)
    assert none.total == none.inter != none.intra
    assert all_of_it.total == all_of_it.intra


@pytest.mark.parametrize("shape", [GRAM_SHAPES[0], PRODUCT_SHAPES[0]])
def test_lfbt_loss_is_invariant_where_it_must_be(shape):
    z1, z2 = standardised(*shape)
    generator = torch.Generator().manual_seed(1)
    records, leads, dims = (torch.randperm(n, generator=generator) for n in shape)
    signs = torch.where(torch.rand(shape[2], generator=generator) < 0.5, 1.0, -1.0)
    reference = lfbt_loss(z1, z2, 0.6)
    same = {
        "order of the records": (z1[records], z2[records]),
        "order of the leads": (z1[:, leads], z2[:, leads]),
        "order of the features": (z1[..., dims], z2[..., dims]),
        "sign of a feature": (z1 * signs, z2 * signs),
        # C_ij becomes the transpose of C_ji, and the sums are over all pairs.
        "which view is first": (z2, z1),
        # B is the number of records in the batch: twice the same records have the same C.
        "every record twice": (z1.repeat(2, 1, 1), z2.repeat(2, 1, 1)),
    }
    for what, (a, b) in same.items():
        for mine, expected in zip(lfbt_loss(a, b, 0.6), reference, strict=True):
            assert_close(mine, expected, what)
    # And what does: records of one view in another order than those of the other.
    assert not torch.isclose(lfbt_loss(z1.roll(1, 0), z2, 0.6).total, reference.total, rtol=1e-4)


def test_lead_pair_losses_of_swapped_views_are_transposed():
    z1, z2 = standardised(6, 3, 8)
    assert_close(lead_pair_losses(z2, z1, 0.1), lead_pair_losses(z1, z2, 0.1).T)


@pytest.mark.parametrize("gamma", [-0.1, 1.0001, math.nan, math.inf])
def test_lfbt_loss_refuses_gamma_out_of_range(gamma):
    z1, z2 = standardised(4, 2, 3)
    with pytest.raises(LfbtError, match=rf"gamma: {gamma} is outside \[0, 1\]"):
        lfbt_loss(z1, z2, gamma)


def literal_standardised(z, eps=1e-5):
    """Feature by feature over the records, as a batch normalisation does."""
    z = z.clone()
    for lead in range(z.shape[1]):
        for dim in range(z.shape[2]):
            column = z[:, lead, dim].clone()
            mean = sum(column) / len(column)
            variance = sum((column - mean) ** 2) / len(column)
            z[:, lead, dim] = (column - mean) / torch.sqrt(variance + eps)
    return z


@pytest.mark.parametrize("shape", [(6, 3, 16), (40, 3, 4), (5, 1, 12), (2, 4, 9)])
def test_lfbt_loss_module_equals_the_literal_method_on_raw_projections(shape):
    """Standardisation over the batch, then the loss: value and gradients."""
    z1, z2 = standardised(*shape)
    scale = torch.linspace(0.1, 9, shape[2], dtype=torch.float64)
    raw = [(scale * z1 + 3).requires_grad_(), (scale * (z1 + 0.5 * z2) - 1).requires_grad_()]
    loss = LFBTLoss(gamma=0.6, lambd=0.01)(*raw)
    expected, _, _ = literal_loss(literal_standardised(raw[0]), literal_standardised(raw[1]), 0.6, 0.01)
    assert loss.shape == ()
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=1e-12)
    gradients = torch.autograd.grad(loss, raw)
    for mine, literal in zip(gradients, torch.autograd.grad(expected, raw), strict=True):
        torch.testing.assert_close(mine, literal, rtol=1e-8, atol=1e-10)


def test_lfbt_loss_module_does_not_depend_on_scale_and_offset():
    """But for the batch normalisation's 1e-5 beside variances of 1 and more."""
    z1, z2 = standardised(8, 3, 5)
    loss = LFBTLoss()
    assert loss(10 * z1 + 4, 3 * z2 - 1).item() == pytest.approx(loss(z1, z2).item(), rel=1e-4)


def test_lfbt_loss_module_of_standardised_projections_is_the_function():
    z1, z2 = standardised(8, 3, 5)
    total = lfbt_loss(z1, z2, 0.8, 0.0051).total
    assert torch.equal(LFBTLoss(standardise=False)(z1, z2), total)
    assert LFBTLoss()(z1, z2).item() == pytest.approx(total.item(), rel=1e-4)


def test_lfbt_loss_module_of_half_precision_is_in_single():
    z1, z2 = standardised(8, 3, 5)
    loss = LFBTLoss()(z1.bfloat16(), z2.bfloat16())
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(LFBTLoss()(z1, z2).item(), rel=0.05)


@pytest.mark.parametrize(
    ("shape_1", "shape_2"), [((4, 3), (4, 3)), ((4, 2, 3), (4, 2, 4)), ((4, 2, 3), (1, 2, 3)), ((1, 2, 3), (1, 2, 3))]
)
def test_lfbt_loss_module_refuses_other_shapes(shape_1, shape_2):
    with pytest.raises(LfbtError, match=r"projections: shapes \[.*\] and \[.*\] are not both \[records, leads, D\]"):
        LFBTLoss()(torch.zeros(shape_1), torch.zeros(shape_2))


@pytest.mark.parametrize(("name", "value"), [("gamma", 1.2), ("lambd", -0.1)])
def test_lfbt_loss_module_refuses_weights_out_of_range(name, value):
    with pytest.raises(LfbtError, match=f"{name}: {value} is outside"):
        LFBTLoss(**{name: value})


def test_lfbt_loss_module_shows_its_settings():
    assert repr(LFBTLoss(0.6)) == "LFBTLoss(gamma=0.6, lambd=0.0051, standardise=True)"


def test_loss_refuses_settings_and_projections_of_another_type():
    with pytest.raises(LfbtError, match=r"^gamma: '0.8' is not a number$"):
        LFBTLoss(gamma="0.8")  # type: ignore[arg-type]
    with pytest.raises(LfbtError, match=r"^lambd: None is not a number$"):
        LFBTLoss(lambd=None)  # type: ignore[arg-type]
    with pytest.raises(LfbtError, match=r"^projections: ndarray and int are not both tensors"):
        LFBTLoss()(np.zeros((2, 2, 2)), 3)
