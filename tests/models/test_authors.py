"""The authors' files: exact tensors, no pickled code run, and an error for everything else."""

import os
import pickle
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.literal import literal_encoder, vgg16
from torch import nn

from lfbt.errors import LfbtError
from lfbt.models.encoder import EncoderConfig
from lfbt.models.pretrained import load_encoder, load_history
from lfbt.recording import PAPER_LEADS
from lfbt.utils.tensors import seeded


class VGG16(nn.Module):
    """As the authors' model is made up: named parts, of which only the convolutions and norms hold tensors."""

    def __init__(self):
        super().__init__()
        stack = vgg16()
        self.features = stack[:-2]
        self.avgpool = stack[-2]
        self.fc = nn.Identity()


def authors_models(n_leads=8):
    """Modules as the authors' file holds them, trained for two batches so that every statistic counts."""
    with seeded(7):
        models = [VGG16() for _ in range(n_leads)]
        for model in models:
            for _ in range(2):
                model.features(torch.randn(3, 1, 64))
    return models


def test_load_encoder_of_an_authors_file_gives_its_modules_features(tmp_path):
    """Pickled modules: eight leads in the paper's order, with the features of the modules themselves."""
    models = authors_models()
    torch.save({"epoch": 200, "backbone_state_dict": models}, tmp_path / "a.pth")
    encoder = load_encoder(tmp_path / "a.pth")
    assert encoder.config == EncoderConfig(PAPER_LEADS, 204.8, 2048, "record", 0.125)
    assert not encoder.training
    assert load_history(tmp_path / "a.pth") == {"file": "a.pth"}
    signals = torch.randn(3, 8, 128, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    features = encoder.double()(signals)
    for lead, model in enumerate(models):
        expected = model.double().eval().features(signals[:, lead : lead + 1]).mean(dim=2)
        # The same sums in double precision, in another order.
        torch.testing.assert_close(features[:, lead], expected, rtol=1e-9, atol=1e-11)
    assert encoder.state_dict()["encoders.V6.norms.12.num_batches_tracked"] == 2


def test_load_encoder_of_an_authors_file_of_fewer_leads_has_the_first(tmp_path):
    torch.save({"backbone_state_dict": authors_models(2)}, tmp_path / "a.pth")
    assert load_encoder(tmp_path / "a.pth").config.leads == ("II", "III")


def test_load_encoder_of_an_authors_file_copies_every_tensor(tmp_path):
    (model,) = authors_models(1)
    torch.save({"backbone_state_dict": [model]}, tmp_path / "a.pth")
    (encoder,) = load_encoder(tmp_path / "a.pth").encoders.values()
    stack = literal_encoder(encoder)
    for mine, theirs in zip(stack.state_dict().values(), model.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)


class Evil:
    """Something that calls a function with one argument as it is unpickled."""

    def __init__(self, function, argument):
        self.call = (function, (argument,))

    def __reduce__(self):
        return self.call


def payloads(marker):
    """Ways in which an unpickled file would leave `marker` behind."""
    python = f"open({str(marker)!r}, 'w').close()"
    return {
        "a shell command": Evil(os.system, f"touch {marker}"),
        "a process": Evil(subprocess.check_call, ["touch", str(marker)]),
        "eval": Evil(eval, python),
        "exec": Evil(exec, python),
        "a method": Evil(Path.touch, marker),
    }


PAYLOADS = sorted(payloads(Path("x")))


@pytest.mark.parametrize("what", PAYLOADS)
@pytest.mark.parametrize("place", ["complete file", "backbone", "beside a good backbone", "in a module"])
def test_load_encoder_runs_no_code_in_a_file(tmp_path, what, place):
    marker = tmp_path / "marker"
    evil = payloads(marker)[what]
    (model,) = authors_models(1)
    if place == "in a module":
        model.features.evil = evil
    content = {
        "complete file": evil,
        "backbone": {"backbone_state_dict": [evil]},
        "beside a good backbone": {"backbone_state_dict": [model], "optimizer": evil},
        "in a module": {"backbone_state_dict": [model]},
    }[place]
    torch.save(content, tmp_path / "evil.pth")
    with pytest.raises(LfbtError, match=r"evil\.pth is not a checkpoint of the LFBT authors"):
        load_encoder(tmp_path / "evil.pth")
    assert not marker.exists()
    # It would have been run by whoever trusts the file.
    torch.load(tmp_path / "evil.pth", weights_only=False)
    assert marker.exists()


@pytest.mark.parametrize("what", PAYLOADS)
@pytest.mark.parametrize("legacy", ["pickle", "torch"])
def test_load_encoder_runs_no_code_in_a_legacy_file(tmp_path, what, legacy):
    marker = tmp_path / "marker"
    path = tmp_path / "evil.pth"
    content = {"backbone_state_dict": [payloads(marker)[what]]}
    if legacy == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=False)
    with pytest.raises(LfbtError, match=r"evil\.pth is not a checkpoint of the LFBT authors \(not a PyTorch file\)"):
        load_encoder(path)
    assert not marker.exists()


class Loud:
    """Something that notices when it is brought back to life."""

    heard: list[str] = []  # noqa: RUF012

    def __new__(cls):
        cls.heard.append("new")
        return super().__new__(cls)

    def __setstate__(self, state):
        self.heard.append("state")

    def __init__(self):
        self.something = 1


def test_load_encoder_creates_no_object_of_a_class_in_a_file(tmp_path):
    """Not even one that can be imported: every class but a tensor is a stand-in."""
    torch.save({"backbone_state_dict": authors_models(1), "arguments": Loud()}, tmp_path / "a.pth")
    Loud.heard.clear()
    load_encoder(tmp_path / "a.pth")
    assert Loud.heard == []
    torch.load(tmp_path / "a.pth", weights_only=False)
    assert Loud.heard == ["new", "state"]


def test_load_encoder_leaves_pytorchs_list_of_safe_classes_alone(tmp_path):
    torch.save({"backbone_state_dict": authors_models(1)}, tmp_path / "a.pth")
    torch.save({"backbone_state_dict": [Evil(os.system, "true")]}, tmp_path / "evil.pth")
    before = set(torch.serialization.get_safe_globals())
    load_encoder(tmp_path / "a.pth")
    with pytest.raises(LfbtError):
        load_encoder(tmp_path / "evil.pth")
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize("content", [b"", b"these are no weights", b"\x80\x02", b"PK\x03\x04" + b"\0" * 100])
def test_load_encoder_refuses_files_of_another_kind(tmp_path, content):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(LfbtError, match=r"a\.pth is not a checkpoint of the LFBT authors \(not a PyTorch file\); give"):
        load_encoder(tmp_path / "a.pth")


def test_load_encoder_refuses_an_authors_file_cut_short(tmp_path):
    torch.save({"backbone_state_dict": authors_models(1)}, tmp_path / "a.pth")
    content = (tmp_path / "a.pth").read_bytes()
    for n_bytes in (10, 1000, len(content) // 2, len(content) - 30, len(content) - 1):
        (tmp_path / "a.pth").write_bytes(content[:n_bytes])
        with pytest.raises(LfbtError, match="is not a checkpoint of the LFBT authors"):
            load_encoder(tmp_path / "a.pth")


def test_load_encoder_refuses_a_zip_file_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("readme.txt", "no weights")
    with pytest.raises(LfbtError, match="is not a checkpoint of the LFBT authors"):
        load_encoder(tmp_path / "a.pth")


def without_bias():
    (model,) = authors_models(1)
    model.features[0] = nn.Conv1d(1, 8, 3, padding=1, bias=False)
    return model


WIDER = nn.Sequential(nn.Conv1d(1, 16, 3), nn.BatchNorm1d(16))


@pytest.mark.parametrize(
    "content",
    [
        [1, 2],
        {"state_dict": {}},
        {"backbone_state_dict": 3},
        {"backbone_state_dict": [3]},
        {"backbone_state_dict": []},
        {"backbone_state_dict": vgg16().state_dict()},
        {"backbone_state_dict": [WIDER]},
        {"backbone_state_dict": [without_bias()]},
        {"backbone_state_dict": [vgg16()[:-5]]},
        {"backbone_state_dict": [vgg16()] * 9},
    ],
    ids=["list", "other", "number", "numbers", "no leads", "state", "wider", "no bias", "short", "nine leads"],
)
def test_load_encoder_refuses_pytorch_files_of_something_else(tmp_path, content):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(LfbtError):
        load_encoder(tmp_path / "a.pth")


def test_load_encoder_refuses_a_file_of_one_tensor(tmp_path):
    torch.save(torch.zeros(3), tmp_path / "a.pth")
    with pytest.raises(LfbtError, match="is not a checkpoint of the LFBT authors"):
        load_encoder(tmp_path / "a.pth")


def test_load_encoder_refuses_a_number_for_a_weight(tmp_path):
    m = vgg16()
    m[0]._parameters["weight"] = 5  # type: ignore[assignment]
    torch.save({"backbone_state_dict": [m]}, tmp_path / "a.pth")
    with pytest.raises(LfbtError, match="is not a checkpoint of the LFBT authors"):
        load_encoder(tmp_path / "a.pth")


def test_load_encoder_names_an_authors_file_without_leads(tmp_path):
    torch.save({"backbone_state_dict": []}, tmp_path / "a.pth")
    with pytest.raises(LfbtError, match=r"a\.pth"):
        load_encoder(tmp_path / "a.pth")


def test_load_encoder_refuses_a_corrupt_pickle(tmp_path):
    """Cut at every 17th byte, and with single bytes changed: always LfbtError or a complete encoder."""
    torch.save({"backbone_state_dict": [vgg16()]}, tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    (name,) = [name for name in members if name.endswith("data.pkl")]
    rng = np.random.default_rng(0)
    corrupt: list[bytes] = [members[name][:n] for n in range(0, 1000, 17)]
    for _ in range(100):
        changed = bytearray(members[name])
        changed[rng.integers(0, 1000)] = rng.integers(0, 256)
        corrupt.append(bytes(changed))
    outcomes = []
    for content in corrupt:
        with zipfile.ZipFile(tmp_path / "b.pth", "w") as archive:
            for member, data in members.items():
                archive.writestr(member, content if member == name else data)
        try:
            load_encoder(tmp_path / "b.pth")
            outcomes.append("complete")
        except LfbtError as error:
            outcomes.append(str(error))
    assert all("is not a checkpoint of the LFBT authors" in outcome for outcome in outcomes[:59])


def test_load_encoder_refuses_an_authors_file_with_a_weight_that_is_nan(tmp_path):
    models = authors_models()
    with torch.no_grad():
        models[1].features[0].weight[0, 0, 0] = torch.nan
    torch.save({"backbone_state_dict": models}, tmp_path / "a.pth")
    with pytest.raises(LfbtError, match=r"^checkpoint: .*a.pth: encoders.III.convolutions.0.weight holds NaN"):
        load_encoder(tmp_path / "a.pth")


@pytest.mark.filterwarnings("ignore:.*quantized tensor creation functions:UserWarning")
@pytest.mark.parametrize("kind", ["meta", "sparse", "quantised"])
def test_load_encoder_refuses_weights_without_numbers(tmp_path, kind):
    (model,) = authors_models(1)
    weight = model.features[0].weight.detach()
    model.features[0]._parameters["weight"] = {
        "meta": lambda: weight.to("meta"),
        "sparse": weight.to_sparse,
        "quantised": lambda: torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8),
    }[kind]()
    torch.save({"backbone_state_dict": [model]}, tmp_path / "a.pth")
    with pytest.raises(LfbtError, match=r"a\.pth is not a checkpoint of the LFBT authors"):
        load_encoder(tmp_path / "a.pth")


def test_load_encoder_refuses_modules_that_are_shared_without_end(tmp_path):
    model = nn.Sequential(nn.Linear(1, 1))
    for _ in range(40):
        model = nn.Sequential(model, model)
    torch.save({"backbone_state_dict": [model]}, tmp_path / "a.pth")
    with pytest.raises(LfbtError, match=r"a\.pth is not a checkpoint of the LFBT authors"):
        load_encoder(tmp_path / "a.pth")
