"""Other ways to compute the encoders of all leads on a GPU: candidates, whose results are those of the shipped one.

Both views and all leads are one batch of *stacks*, ``stacks = views × leads``: a batch normalisation over
``stacks × channels`` gives each view its own statistics. Weights of all leads are one parameter a layer, so that a step
concatenates nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.gpu.agreement import device_state, new_signals
from benchmarks.gpu.device import arithmetic
from benchmarks.gpu.results import Found, Place, at_most
from lfbt.models.encoder import LeadEncoders
from lfbt.training.augmentation import draw_views, random_views
from lfbt.utils.tensors import to_full_precision

_BOUND = 1e-9
_MOMENTUM, _EPS = 0.1, 1e-5


class StackedEncoders(nn.Module):
    """The encoders of all leads with one parameter a layer, ``[leads × out, in, 3]``; a form says how to convolve."""

    def __init__(self, encoder: LeadEncoders) -> None:
        super().__init__()
        leads = [one.pairs() for one in encoder.encoders.values()]  # type: ignore[operator]
        self.config, self.n_leads = encoder.config, len(leads)
        ends = next(iter(encoder.encoders.values())).block_ends
        self.block_ends: set[int] = ends  # type: ignore[assignment]
        self.weights, self.biases, self.scales, self.shifts = (nn.ParameterList() for _ in range(4))
        for i in range(len(leads[0])):
            convolutions, norms = zip(*(pairs[i] for pairs in leads), strict=True)
            for kept, modules, name in (
                (self.weights, convolutions, "weight"),
                (self.biases, convolutions, "bias"),
                (self.scales, norms, "weight"),
                (self.shifts, norms, "bias"),
            ):
                kept.append(nn.Parameter(torch.cat([getattr(one, name).detach() for one in modules])))
            for name in ("running_mean", "running_var"):
                self.register_buffer(f"{name}_{i}", torch.cat([getattr(one, name) for one in norms]).clone())

    def forward(self, views: Tensor) -> Tensor:
        """Features ``[views, B, leads, features]`` of ``[views, B, leads, T]``, in training."""
        n_views = len(views)
        x = self.enter(views.transpose(0, 1).flatten(1, 2))  # B stacks T
        for i, weight in enumerate(self.weights):
            x = self.convolve(x, weight, self.biases[i], n_views)
            x = F.relu(self.normalise(x, i, n_views))
            if i in self.block_ends:
                x = F.max_pool1d(x, 2) if x.ndim == 3 else F.max_pool2d(x, (1, 2))
        features = to_full_precision(x).flatten(2).mean(dim=2)  # B stacks·features
        by_view: Tensor = features.unflatten(1, (n_views, self.n_leads, -1)).transpose(0, 1)
        return by_view

    def enter(self, x: Tensor) -> Tensor:
        """The layout that the convolutions take."""
        return x

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor, n_views: int) -> Tensor:
        """One layer of all stacks: one convolution with a group for each."""
        weight, bias = weight.repeat(n_views, 1, 1), bias.repeat(n_views)
        return F.conv1d(x, weight, bias, padding=1, groups=n_views * self.n_leads)

    def normalise(self, x: Tensor, i: int, n_views: int) -> Tensor:
        """Batch normalisation of each view by itself; the running statistics take one view after the other."""
        scale, shift = self.scales[i].repeat(n_views), self.shifts[i].repeat(n_views)
        mean, variance = torch.zeros_like(scale), torch.zeros_like(scale)
        x = F.batch_norm(x, mean, variance, scale, shift, True, 1.0, _EPS)
        with torch.no_grad():
            for name, values in (("running_mean", mean), ("running_var", variance)):
                for of_view in values.chunk(n_views):
                    self.get_buffer(f"{name}_{i}").lerp_(of_view, _MOMENTUM)
        return x


class ChannelsLast(StackedEncoders):
    """Images of height 1 with channels last, ``(B, stacks × channels, 1, T)``."""

    def enter(self, x: Tensor) -> Tensor:
        """Images with channels last."""
        return x.unsqueeze(2).contiguous(memory_format=torch.channels_last)

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor, n_views: int) -> Tensor:
        """One convolution of images, with a group for each stack."""
        kernel = weight.repeat(n_views, 1, 1).unsqueeze(2).contiguous(memory_format=torch.channels_last)
        return F.conv2d(x, kernel, bias.repeat(n_views), padding=(0, 1), groups=n_views * self.n_leads)


class Batched(StackedEncoders):
    """Batched matrix products over stacks and records: three shifted copies of the input times the weights."""

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor, n_views: int) -> Tensor:
        """One batch of products."""
        n_stacks = n_views * self.n_leads
        by_stack = x.unflatten(1, (n_stacks, -1))  # B stacks in T
        padded = F.pad(by_stack, (1, 1))
        shifted = torch.cat([padded[..., k : k + x.shape[-1]] for k in range(3)], dim=2)  # B stacks 3·in T
        rows = weight.unflatten(0, (self.n_leads, -1)).transpose(2, 3).flatten(2)  # leads out 3·in
        products = rows.repeat(n_views, 1, 1) @ shifted  # B stacks out T
        y: Tensor = products.flatten(1, 2) + bias.repeat(n_views)[:, None].to(products.dtype)
        return y


class OneByOne(StackedEncoders):
    """A convolution for each stack by itself, channels last, on a stream of its own on a GPU."""

    def forward(self, views: Tensor) -> Tensor:
        """Features ``[views, B, leads, features]`` of ``[views, B, leads, T]``, in training."""
        device, found = views.device, []
        streams = [torch.cuda.Stream(device) for _ in range(self.n_leads)] if device.type == "cuda" else []
        for stream in streams:
            stream.wait_stream(torch.cuda.current_stream(device))
        for lead in range(self.n_leads):
            with torch.cuda.stream(streams[lead]) if streams else contextlib.nullcontext():
                found.append(self._features(views, lead))
        for stream in streams:
            torch.cuda.current_stream(device).wait_stream(stream)
        return torch.stack(found, dim=2)

    def _features(self, views: Tensor, lead: int) -> Tensor:
        """Features ``[views, B, features]`` of one lead: one convolution of both views, a normalisation of each."""
        n_views, n_records = views.shape[:2]
        x = views[:, :, lead].flatten(0, 1)[:, None, None]  # views·B 1 1 T
        for i in range(len(self.weights)):
            weight, bias, scale, shift = (
                part[i].chunk(self.n_leads)[lead] for part in (self.weights, self.biases, self.scales, self.shifts)
            )
            mean, variance = (
                self.get_buffer(f"{name}_{i}").chunk(self.n_leads)[lead] for name in ("running_mean", "running_var")
            )
            kernel = weight.unsqueeze(2).contiguous(memory_format=torch.channels_last)
            x = F.conv2d(x, kernel, bias, padding=(0, 1))
            normalised = [
                F.batch_norm(one, mean, variance, scale, shift, True, _MOMENTUM, _EPS) for one in x.chunk(n_views)
            ]
            x = F.relu(torch.cat(normalised))
            if i in self.block_ends:
                x = F.max_pool2d(x, (1, 2))
        features: Tensor = to_full_precision(x).flatten(2).mean(dim=2).unflatten(0, (n_views, n_records))
        return features


#: The candidates by name.
FORMS: dict[str, Callable[[LeadEncoders], StackedEncoders]] = {
    "stacked": StackedEncoders,
    "channels-last": ChannelsLast,
    "batched": Batched,
    "one-by-one": OneByOne,
}


def equal_forms(place: Place) -> Found:
    """Every form beside the shipped one in double precision on the device: features, statistics, gradients."""
    size = place.sizes.exact
    found: Found = []
    views = random_views(new_signals(size), draw_views(0, 0, size.batch)).double().to(place.device)
    with arithmetic():
        for name, form in FORMS.items():
            encoder = device_state(size, place.device).encoder.double()
            other = form(encoder)
            results = [(one, one(views)) for one in (encoder, other)]
            direction = torch.randn(results[0][1].shape, generator=torch.Generator().manual_seed(0)).to(views)
            values = []
            for one, features in results:
                features.backward(direction)
                values.append({"features": features.detach(), **_learned(one)})
            shipped, own = values
            for what, value in shipped.items():
                difference = float((own[what] - value).norm() / value.norm())
                found.append(at_most(f"{name}: {what}", difference, _BOUND, "double precision"))
    return found


def _learned(encoder: nn.Module) -> dict[str, Tensor]:
    """Gradients of weights and running statistics of all layers, in one order for every form."""
    if isinstance(encoder, StackedEncoders):
        gradients = [weight.grad for weight in (*encoder.weights, *encoder.scales)]
        kept = list(encoder.buffers())
    else:
        leads = [one.pairs() for one in encoder.encoders.values()]  # type: ignore[operator]
        layers = [[pairs[i] for pairs in leads] for i in range(len(leads[0]))]
        gradients = [torch.cat([convolution.weight.grad for convolution, _ in layer]) for layer in layers]
        gradients += [torch.cat([norm.weight.grad for _, norm in layer]) for layer in layers]
        kept = [
            torch.cat([getattr(norm, name) for _, norm in layer])
            for layer in layers
            for name in ("running_mean", "running_var")
        ]
    return {
        "gradients": torch.cat([one.flatten() for one in gradients if one is not None]),
        "running statistics": torch.cat([one.flatten() for one in kept]),
    }
