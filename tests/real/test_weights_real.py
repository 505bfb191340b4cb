"""The two published files: they load, and give the features that their raw tensors give in plain PyTorch layers."""

import io
import pickle
import zipfile

import numpy as np
import pytest
import torch
from tests.literal import vgg16
from torch import nn

from lfbt.models.encoder import EncoderConfig
from lfbt.models.pretrained import load_encoder, load_history
from lfbt.recording import PAPER_LEADS

pytestmark = pytest.mark.real

NAMES = ("encoder_group_gamma_0.6.pth", "encoder_group_gamma_0.8.pth")
# Those of the published pretraining (spec/method.md, section 5); each sends two views through every norm.
STEPS_AN_EPOCH = 261


class Stub:
    """Whatever class the file names, without its code."""

    def __init__(self, *args):
        pass


class RawTensors(pickle.Unpickler):
    """A reader of its own for the archive: numpy arrays from the raw storages, and stubs for all classes."""

    def __init__(self, archive):
        super().__init__(io.BytesIO(archive.read("archive/data.pkl")))
        self.archive = archive

    def find_class(self, module, name):
        if name == "_rebuild_tensor_v2":
            return lambda storage, offset, size, stride, *rest: np.lib.stride_tricks.as_strided(
                storage[offset:], size, [step * storage.itemsize for step in stride]
            ).copy()
        if name == "_rebuild_parameter":
            return lambda data, *rest: data
        if name == "OrderedDict":
            return dict
        # A storage's type, by name.
        return {"FloatStorage": np.float32, "LongStorage": np.int64}.get(name, Stub)

    def persistent_load(self, saved):
        _, dtype, key, _, n = saved
        storage = np.frombuffer(self.archive.read(f"archive/data/{key}"), dtype)
        assert len(storage) == n
        return storage


def raw_layers(module):
    """The tensors of every layer that has any, in order: of a convolution two, of a norm five."""
    tensors = [value for value in {**module._parameters, **module._buffers}.values() if value is not None]
    if tensors:
        yield tensors
    for child in module._modules.values():
        yield from raw_layers(child)


def raw_models(path):
    """Plain PyTorch stacks filled from the raw tensors of a published file."""
    with zipfile.ZipFile(path) as archive:
        content = RawTensors(archive).load()
    stacks = []
    for module in content["backbone_state_dict"]:
        stack = vgg16()
        layers = [layer for layer in stack if isinstance(layer, (nn.Conv1d, nn.BatchNorm1d))]
        for layer, tensors in zip(layers, raw_layers(module), strict=True):
            for mine, theirs in zip(layer.state_dict().values(), tensors, strict=True):
                assert mine.shape == theirs.shape
                mine.copy_(torch.from_numpy(theirs))
        stacks.append(stack.double().eval())
    return stacks


@pytest.mark.parametrize("name", NAMES)
def test_load_encoder_of_published_weights_gives_the_features_of_their_raw_tensors(shared_data, name):
    path = shared_data / "weights" / name
    encoder = load_encoder(path)
    assert encoder.config == EncoderConfig(PAPER_LEADS, 204.8, 2048, "record", 0.125)
    assert [sum(p.numel() for p in lead.parameters()) for lead in encoder.encoders.values()] == [78_216] * 8
    assert load_history(path) == {"file": name}
    counters = {int(tensor) for key, tensor in encoder.state_dict().items() if key.endswith("num_batches_tracked")}
    assert len(counters) == 1
    assert min(counters) > 0
    assert min(counters) % (2 * STEPS_AN_EPOCH) == 0

    time = np.arange(2048) / 204.8
    waves = np.sin(2 * np.pi * time * np.arange(1, 9)[:, None]) + 0.3 * np.cos(2 * np.pi * 17 * time)
    signals = torch.from_numpy(np.stack([waves, waves[::-1] ** 3]))
    expected = torch.stack([stack(signals[:, i : i + 1]) for i, stack in enumerate(raw_models(path))], dim=1)
    assert expected.std() > 1e-3
    assert not torch.isclose(expected[:, 0], expected[:, 1]).all()
    # The same sums in double precision, in another order; in single precision, five digits of the largest feature.
    torch.testing.assert_close(encoder.double()(signals), expected, rtol=1e-9, atol=1e-11)
    single = load_encoder(path)(signals.float()).double()
    torch.testing.assert_close(single, expected, rtol=0, atol=1e-5 * expected.abs().max().item())
