"""What once went wrong on the model side: wrong figures, and tracebacks where one line belongs."""

import json
import zipfile

import numpy as np
import pytest
import torch
from tests.helpers_model import KINDS, vgg16, waves, write_checkpoint, write_labelled, write_packed, z_score

from lfbt.data.loader import epoch_batches
from lfbt.errors import LfbtError
from lfbt.evaluation.probing import probe
from lfbt.evaluation.settings import ProbeSettings
from lfbt.inference.embedding import EmbedSettings, embed
from lfbt.models.encoder import EncoderConfig, estimate_batch_norm, random_encoder
from lfbt.models.pretrained import load_encoder
from lfbt.models.projector import parse_projector
from lfbt.training.pretraining import pretrain
from lfbt.training.settings import PretrainSettings
from lfbt.utils.device import resolve_device


def test_a_classifier_is_refused_with_its_leads_in_another_order(tmp_path):
    d, c = write_labelled(tmp_path / "d"), write_checkpoint(tmp_path / "c")
    probe(ProbeSettings.create(d, tmp_path / "p", checkpoint=c, epochs=2, batch_size=8, device="cpu"))
    with pytest.raises(LfbtError, match="leads"):
        embed(EmbedSettings((d,), tmp_path / "p", tmp_path / "e", leads=("V1", "II"), device="cpu"))


def test_a_bare_tensor_file(tmp_path):
    torch.save(torch.zeros(3), tmp_path / "a.pth")
    with pytest.raises(LfbtError, match="is no checkpoint of the LFBT authors"):
        load_encoder(tmp_path / "a.pth")


def test_a_module_with_a_number_for_a_weight(tmp_path):
    m = vgg16()
    m[0]._parameters["weight"] = 5  # type: ignore[assignment]
    torch.save({"backbone_state_dict": [m]}, tmp_path / "a.pth")
    with pytest.raises(LfbtError, match="is no checkpoint of the LFBT authors"):
        load_encoder(tmp_path / "a.pth")


def test_no_leads_names_the_file(tmp_path):
    torch.save({"backbone_state_dict": []}, tmp_path / "a.pth")
    with pytest.raises(LfbtError, match=r"a\.pth"):
        load_encoder(tmp_path / "a.pth")


def test_a_spoilt_pickle(tmp_path):
    """Cut at every 17th byte, and with single bytes changed: always LfbtError or a whole encoder."""
    torch.save({"backbone_state_dict": [vgg16()]}, tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    (name,) = [name for name in members if name.endswith("data.pkl")]
    rng = np.random.default_rng(0)
    spoilt: list[bytes] = [members[name][:n] for n in range(0, 1000, 17)]
    for _ in range(100):
        changed = bytearray(members[name])
        changed[rng.integers(0, 1000)] = rng.integers(0, 256)
        spoilt.append(bytes(changed))
    outcomes = []
    for content in spoilt:
        with zipfile.ZipFile(tmp_path / "b.pth", "w") as archive:
            for member, data in members.items():
                archive.writestr(member, content if member == name else data)
        try:
            load_encoder(tmp_path / "b.pth")
            outcomes.append("whole")
        except LfbtError as error:
            outcomes.append(str(error))
    assert all("is no checkpoint of the LFBT authors" in outcome for outcome in outcomes[:59])


def test_projector_superscript():
    with pytest.raises(LfbtError, match="projector"):
        parse_projector("²")


def test_schedule_is_checked(tmp_path):
    d = write_packed(tmp_path / "d", waves([0, 1, 2, 0]))
    settings = PretrainSettings(
        (d,),
        tmp_path / "r",
        schedule="linear",  # type: ignore[arg-type]
        projector="8",
        epochs=1,
        batch_size=4,
    )
    with pytest.raises(LfbtError, match="schedule"):
        pretrain(settings)


def test_probe_with_an_absurd_rate(tmp_path):
    d, c = write_labelled(tmp_path / "d"), write_checkpoint(tmp_path / "c")
    settings = ProbeSettings.create(d, tmp_path / "p", c, epochs=2, batch_size=8, device="cpu", learning_rate=(1e38,))
    with pytest.raises(LfbtError, match="learning-rate"):
        probe(settings)


def test_insisting_on_records_of_too_few_samples(tmp_path):
    s, c = write_labelled(tmp_path / "s", signals=waves(KINDS, 2, 20)), write_checkpoint(tmp_path / "c")
    with pytest.raises(LfbtError, match="samples"):
        embed(EmbedSettings((s,), c, tmp_path / "e", allow_mismatch=True, device="cpu"))


def test_meta_device():
    with pytest.raises(LfbtError, match="device"):
        resolve_device("meta")


@pytest.mark.parametrize(
    ("name", "value"), [("n_samples", 1e400), ("sampling_rate", float("nan")), ("sampling_rate", -5)]
)
def test_config_values(tmp_path, name, value):
    c = write_checkpoint(tmp_path / "c")
    content = json.loads((c / "config.json").read_text()) | {name: value}
    (c / "config.json").write_text(json.dumps(content))
    with pytest.raises(LfbtError, match=r"config\.json|n_samples"):
        load_encoder(c)


def test_a_random_encoders_norms_do_not_hang_on_one_record(tmp_path):
    """129 training records: two batches of 65 and 64, so that the last record does not weigh 1/2."""
    signals = waves([i % 3 for i in range(153)])
    signals[128] = 0
    signals[128, 0, 5] = 1
    labels = [("slow", "middle", "fast")[i % 3] for i in range(153)]
    d = write_packed(tmp_path / "d", signals, labels, ["train"] * 129 + ["val"] * 12 + ["test"] * 12)
    probe(ProbeSettings.create(d, tmp_path / "p", random_encoder=True, epochs=1, device="cpu"))
    got = load_encoder(tmp_path / "p").state_dict()
    whole = random_encoder(EncoderConfig(("II", "V1"), 6.4, 64), 0)
    batches = epoch_batches(np.arange(129), 128, seed=0, epoch=0)
    assert [len(batch) for batch in batches] == [65, 64]
    estimate_batch_norm(whole, [torch.from_numpy(z_score(signals[batch]).astype(np.float32)) for batch in batches])
    for name, tensor in whole.state_dict().items():
        if name.endswith("running_var"):
            torch.testing.assert_close(got[name], tensor, rtol=1e-4, atol=1e-7)
