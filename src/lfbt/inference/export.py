"""Encoders and classifiers as ONNX files: what `lfbt export` does."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

import lfbt
from lfbt.errors import LfbtError
from lfbt.inference.encoder import Encoder, load_encoder, without_folders
from lfbt.inference.onnx_file import CARD_KEY, OnnxCard, is_onnx, read_onnx_file
from lfbt.inference.onnx_graph import EMBEDDINGS, FLOAT16, INPUT, LOGITS, PROBABILITIES, describe_graph
from lfbt.inference.onnx_model import load_onnx
from lfbt.inference.torch_model import TorchModel, load_trained
from lfbt.models.encoder import LeadEncoders
from lfbt.models.feature_maps import PAPER
from lfbt.models.heads import HEAD, Head
from lfbt.models.pretrained import load_history
from lfbt.runs.results import Results
from lfbt.signal import normalise
from lfbt.utils.files import atomic_file
from lfbt.utils.finished import check_same_file
from lfbt.utils.settings import Affects, create, validate
from lfbt.utils.targets import check_creatable

#: The version of ONNX's operators, of 2022, and of the file's form that goes with it.
OPSET, _IR = 18, 8
#: The greatest difference from PyTorch, relative to the largest value, that a file is written with.
_AGREEMENT = {"float32": 1e-5, "float16": 1e-2}
_PACKAGES = "pip install 'lfbt[export]'"


@dataclasses.dataclass(frozen=True)
class ExportSettings:
    """What is exported, and where to."""

    checkpoint: Annotated[Path, Affects.LOCATION]
    """Run folder of a probe or a fine-tuning, for its classifier; or an encoder: a pretraining's run folder, an encoder
    folder, a .pth file of the authors, or lfbt-small."""
    out: Annotated[Path, Affects.LOCATION]
    """New file .onnx."""
    variant: Literal["float32", "float16"] = "float32"
    """How weights are kept. float32: as they are. float16: in half of the bytes; the computation is the same."""
    overwrite: Annotated[bool, Affects.RUNTIME] = False
    """Replace an ONNX file of lfbt."""


@dataclasses.dataclass(frozen=True)
class Exported:
    """A file that was written: its size, classes (none of an encoder), and the greatest difference from PyTorch.

    lead_subsets: the leads that suffice, besides all of them.
    """

    out: Path
    megabytes: float
    leads: tuple[str, ...]
    classes: tuple[str, ...]
    lead_subsets: tuple[tuple[str, ...], ...]
    variant: str
    opset: int
    difference: float


def export(
    checkpoint: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    variant: Literal["float32", "float16"] = "float32",
    overwrite: bool = False,
) -> Exported:
    """Write a classifier or an encoder as one ONNX file, which needs no PyTorch.

    Parameters
    ----------
    checkpoint
        Run folder of a probe or a fine-tuning, for its classifier; or an encoder, as `lfbt.load_encoder` takes it.
    out
        New file ``.onnx``.
    variant
        How weights are kept: ``float32``, or ``float16`` in half of the bytes.
    overwrite
        Replace an ONNX file of lfbt.

    Returns
    -------
    Exported
        What was written. The file takes signals ``[records, leads, samples]`` in mV and gives embeddings
        ``[records, leads × features]``, and of a classifier logits and probabilities ``[records, classes]``.

    Raises
    ------
    FinishedError
        Where `out` is the same file already.
    LfbtError
        For what is no encoder, for a file that is there and not of lfbt, and without the packages onnx and onnxruntime.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     export("lfbt-small", f"{place}/small.onnx").classes
    ()
    """
    values = {"checkpoint": checkpoint, "out": out, "variant": variant, "overwrite": overwrite}
    return write_onnx(create(ExportSettings, values))


def write_onnx(settings: ExportSettings) -> Exported:
    """Write what `settings` name as an ONNX file, complete or not at all. Raises LfbtError as `export` does."""
    validate(settings)
    _check_out(settings.out, settings.overwrite)
    try:
        import onnx
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise LfbtError(f"export: a package is absent ({error}); {_PACKAGES}") from error
    model, card = _load(settings.checkpoint, settings.variant)
    proto = build_model(model.encoder, model.head, settings.variant)
    onnx.helper.set_model_props(proto, {CARD_KEY: card.to_json()})
    content = proto.SerializeToString(deterministic=True)
    _check_free(settings, content)
    onnx.checker.check_model(proto, full_check=True)
    with atomic_file(settings.out) as partial:
        partial.write_bytes(content)
        difference = _difference(partial, model)
        if not difference <= _AGREEMENT[settings.variant]:
            raise LfbtError(
                f"checkpoint: {settings.checkpoint} as {settings.variant} differs from PyTorch by {difference:.1e}, "
                f"over {_AGREEMENT[settings.variant]:g}; its weights may be broken"
            )
        # Something may have been put there meanwhile.
        _check_free(settings, content)
    return Exported(
        settings.out,
        round(len(content) / 1e6, 2),
        card.leads,
        card.classes,
        tuple(subset.leads for subset in card.subsets),
        settings.variant,
        OPSET,
        difference,
    )


def _check_out(out: Path, overwrite: bool) -> None:
    if not is_onnx(out):
        raise LfbtError(f"out: {out} does not end in .onnx; name a file that does")
    if not out.absolute().parent.is_dir():
        raise LfbtError(f"out: the folder of {out} does not exist; make it, or give another name")
    if overwrite and out.is_symlink():
        raise LfbtError(f"overwrite: {out} is a link; name the file that it leads to")
    if overwrite and out.exists():
        read_onnx_file(out, "overwrite")
    check_creatable(out)


def _check_free(settings: ExportSettings, content: bytes) -> None:
    """Raise unless `content` may be written: FinishedError where it is there already."""
    if settings.overwrite:
        _check_out(settings.out, settings.overwrite)
    else:
        check_same_file(settings.out, content, "--overwrite a file of lfbt")


def _load(checkpoint: Path, variant: str) -> tuple[TorchModel, OnnxCard]:
    """The model on the CPU, and its card."""
    settings: dict[str, Any] = {}
    if (checkpoint / HEAD).is_dir():
        model = load_trained(checkpoint, torch.device("cpu"))
        results = Results.load(checkpoint)
        history = load_history(checkpoint)
        synthetic: bool | None = results.synthetic
        settings = {"kind": results.kind, "data": results.data.folder, "data_hash": results.data.hash}
        settings |= {"training_records": results.data.training_records, **results.settings}
    else:
        encoder: Encoder = load_encoder(checkpoint)
        model, history = TorchModel(encoder), encoder.history
        stated = history.get("synthetic")
        synthetic = stated if isinstance(stated, bool) else None
    config = model.encoder.config
    card = OnnxCard(
        lfbt_version=lfbt.__version__,
        leads=config.leads,
        sampling_rate=config.sampling_rate,
        n_samples=config.n_samples,
        width=config.width,
        normalisation=config.normalisation,
        n_features=model.features_per_lead,
        variant=variant,
        classes=model.classes,
        exclusive=model.exclusive,
        thresholds=model.thresholds,
        subsets=model.subsets,
        synthetic=synthetic,
        history=without_folders(history),
        settings=without_folders(settings),
        features=None if model.features == PAPER else model.features,
    )
    return model, card


def build_model(encoder: LeadEncoders, head: Head | None, variant: str) -> Any:
    """Build the ONNX model of an encoder, and perhaps of the classifier on it; see `describe_graph`.

    Parameters
    ----------
    encoder
        In evaluation mode, on the CPU.
    head
        None for embeddings only.
    variant
        ``float32`` or ``float16``, of the convolutions' weights.

    Returns
    -------
    onnx.ModelProto
        Without metadata.
    """
    from onnx import TensorProto, helper, numpy_helper

    config = encoder.config
    n_leads = len(config.leads)
    values: dict[str, NDArray[Any]] = {}
    for i, (weight, bias) in enumerate(_folded(encoder)):
        values |= {f"weight{i}": weight, f"bias{i}": bias}
    features = PAPER if head is None else head.features
    n_columns = n_leads * config.columns_per_lead(features)
    sizes = {EMBEDDINGS: n_columns}
    if head is None:
        graph = describe_graph(config, is_half=variant == "float16")
    else:
        graph = describe_graph(
            config,
            head.linear.out_features,
            exclusive=head.exclusive,
            has_subsets=head.lead_dropout is not None,
            is_half=variant == "float16",
            features=features,
        )
        linear = head.linear.weight.double() / head.std.double()
        values |= {"mean": _array(head.mean), "linear": _array(linear), "shift": _array(head.linear.bias)}
        sizes |= dict.fromkeys((LOGITS, PROBABILITIES), head.linear.out_features)
    constants = [numpy_helper.from_array(value, name) for name, value in graph.constants.items()]
    for name, form in graph.weights.items():
        kind = np.float16 if form.type == FLOAT16 else np.float32
        constants.append(numpy_helper.from_array(values[name].astype(kind), name))

    def describe(name: str, *shape: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["records", *shape])

    nodes = []
    for operator, inputs, name, attributes in graph.nodes:
        nodes.append(helper.make_node(operator, inputs, [name]))
        nodes[-1].attribute.extend(helper.make_attribute(*one) for one in attributes.items())
    outputs = [describe(name, size) for name, size in sizes.items()]
    return helper.make_model(
        helper.make_graph(nodes, "lfbt", [describe(INPUT, n_leads, config.n_samples)], outputs, constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR,
        producer_name="lfbt",
        producer_version=lfbt.__version__,
    )


def _folded(encoder: LeadEncoders) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Of each layer the convolution of all leads with its batch normalisation in it.

    Weights ``[leads · channels, channels in, 1, 3]``, and biases.
    """
    leads: list[Any] = list(encoder.encoders.values())
    layers = []
    for of_leads in zip(*(lead.pairs() for lead in leads), strict=True):
        weights, biases = [], []
        for convolution, norm in of_leads:
            scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
            weights.append(convolution.weight.double() * scale[:, None, None])
            biases.append((convolution.bias.double() - norm.running_mean.double()) * scale + norm.bias.double())
        layers.append((_array(torch.cat(weights)[:, :, None]), _array(torch.cat(biases))))
    return layers


def _array(tensor: torch.Tensor) -> NDArray[np.float32]:
    return tensor.detach().float().numpy()


def _difference(file: Path, model: TorchModel) -> float:
    """The greatest difference of the file from PyTorch on random signals, relative to the largest value.

    Of a model that serves subsets of its leads with these, too.
    """
    config = model.config
    signals = np.random.default_rng(0).standard_normal((2, len(config.leads), config.n_samples), np.float32)
    exported = load_onnx(file, "checkpoint")
    greatest = 0.0
    for leads in (config.leads, *(subset.leads for subset in model.subsets)):
        used = np.isin(config.leads, leads)
        given, scored = (np.full_like(signals, np.nan) for _ in range(2))
        given[:, used] = signals[:, used]
        scored[:, used] = normalise(signals[:, used], config.normalisation)
        for a, b in zip(exported.compute(given), model.compute(scored), strict=True):
            if b.size:
                # Features of absent leads are NaN in both.
                apart = np.abs(np.where(np.isnan(a) & np.isnan(b), 0, a - b)).max()
                greatest = float(np.maximum(greatest, apart / max(1.0, float(np.nanmax(np.abs(b))))))
    return greatest
