"""What the tests of the objectives share: random projections, their gradients, and parts of a batch."""

import torch

# Records, leads, width: fewer records than dimensions, more, as many, and a batch of two.
SHAPES = [(4, 3, 5), (9, 2, 2), (6, 3, 2), (2, 2, 3)]


def random_pair(n_records, n_leads, n_dims, seed=0, dtype=torch.float64):
    """Projections of two views that are somewhat alike, of various spread, some of it below 1 and some above."""
    generator = torch.Generator().manual_seed(seed)
    z1, noise = torch.randn(2, n_records, n_leads, n_dims, generator=generator, dtype=torch.float64)
    spread = torch.linspace(0.3, 2, n_leads * n_dims, dtype=torch.float64).view(n_leads, n_dims)
    z1, z2 = spread * z1 + 0.5, spread * (z1 + 0.5 * noise) + 0.4
    return z1.to(dtype), z2.to(dtype)


def cosine(a, b):
    return (a * b).sum() / ((a * a).sum() * (b * b).sum()).sqrt()


def value_and_gradient(function, z1, z2, *args):
    z1, z2 = z1.detach().requires_grad_(), z2.detach().requires_grad_()
    loss = function(z1, z2, *args)
    return loss.detach(), *torch.autograd.grad(loss, [z1, z2])
