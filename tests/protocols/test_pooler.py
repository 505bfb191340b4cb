"""The attentive pooler against its literal definition."""

import math

import torch

from lfbt.protocols.pooler import AttentivePooler
from lfbt.utils.tensors import seeded


def literal(pooler, tokens, heads):
    """One record, head by head: softmax(q·k / √d) weights the values; the projection joins the heads."""
    dim = tokens.shape[1]
    to_query, to_key, to_value = pooler.attention.in_proj_weight.chunk(3)
    query, keys, values = to_query @ pooler.query, tokens @ to_key.T, tokens @ to_value.T
    size = dim // heads
    pooled = []
    for head in range(heads):
        columns = slice(head * size, (head + 1) * size)
        scores = torch.stack([query[columns] @ key[columns] for key in keys]) / math.sqrt(size)
        weights = scores.exp() / scores.exp().sum()
        pooled.append(sum(weight * value[columns] for weight, value in zip(weights, values, strict=True)))
    return pooler.attention.out_proj.weight @ torch.cat(pooled)


def test_attentive_pooler_equals_the_literal_definition():
    with seeded(0):
        pooler = AttentivePooler(dim=8, heads=2).double()
        # Scores far apart.
        torch.nn.init.normal_(pooler.query, std=3)
        tokens = torch.randn(3, 4, 5, 8, dtype=torch.float64)
    found = pooler(tokens)
    assert found.shape == (3, 4, 8)
    for record in range(3):
        for window in range(4):
            torch.testing.assert_close(found[record, window], literal(pooler, tokens[record, window], 2))


def test_attentive_pooler_of_a_zero_query_projects_the_mean():
    pooler = AttentivePooler(dim=4, heads=1)
    torch.nn.init.zeros_(pooler.query)
    tokens = torch.randn(2, 6, 4)
    value = pooler.attention.in_proj_weight[8:]
    expected = tokens.mean(dim=1) @ value.T @ pooler.attention.out_proj.weight.T
    torch.testing.assert_close(pooler(tokens), expected)


def test_attentive_pooler_does_not_depend_on_the_order_of_tokens():
    pooler = AttentivePooler(dim=4, heads=2)
    tokens = torch.randn(2, 6, 4)
    torch.testing.assert_close(pooler(tokens.flip(1)), pooler(tokens))
