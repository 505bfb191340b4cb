"""``python -m benchmarks.scaling``: communication per step, and a simple model of many GPUs."""

from __future__ import annotations

import argparse
import dataclasses
import math
from pathlib import Path

from benchmarks.render import with_section
from lfbt.models.encoder import LeadEncoder

# The paper's model and records (method, section 2).
_LEADS, _SAMPLES, _WIDTH, _FEATURES = 8, 2048, 2048, 64
_PARAMETERS = 68_848_704
_ENCODER_MACS, _PROJECTOR_MACS = 18_137_088, _FEATURES * _WIDTH + 2 * _WIDTH**2
_LAYERS, _NORMS = 13, 3
_FLOAT = 4
_BUCKET_BYTES = 25 * 2**20


@dataclasses.dataclass(frozen=True)
class Sent:
    """Bytes that one process sends in a step, and in how many collectives."""

    what: str
    n_bytes: float
    collectives: int


def sent(n_processes: int, batch: int) -> list[Sent]:
    """What one of `n_processes` sends per step on GPUs, with ring collectives and a batch shared by all."""
    others = (n_processes - 1) / n_processes
    reduced, gathered = 2 * others, others  # of the total, in a ring
    channels = _LEADS * sum(norm.num_features for _, norm in LeadEncoder(0.125).pairs())
    widths = _LEADS * _NORMS * _WIDTH
    # Forward (2 C + 1) numbers of each process are gathered, backward 2 C added up; two views. The encoders have
    # both in one collective.
    norms = 2 * (channels + widths) * 2 * _FLOAT * ((n_processes - 1) + reduced)
    return [
        Sent("gradients", _PARAMETERS * _FLOAT * reduced, math.ceil(_PARAMETERS * _FLOAT / _BUCKET_BYTES)),
        Sent("projections", 2 * batch * _LEADS * _WIDTH * _FLOAT * gathered, 1),
        Sent("diagonals and squares of the loss", _LEADS**2 * (_WIDTH + 1) * _FLOAT * reduced, 1),
        Sent("batch-norm statistics", norms, 2 * _LAYERS + 2 * 2 * _NORMS),
    ]


@dataclasses.dataclass(frozen=True)
class Assumed:
    """Assumptions about a cluster; none of them was measured.

    tflops: what a GPU reaches in a step; gpus: of a node; near, far: GB/s of a GPU within a node and between nodes;
    near_latency, far_latency: seconds of a collective, the latter for each doubling of nodes.
    """

    name: str
    far: float
    tflops: float = 15.0
    gpus: int = 8
    near: float = 200.0
    near_latency: float = 20e-6
    far_latency: float = 15e-6


def seconds(n_gpus: int, batch: int, assumed: Assumed) -> tuple[float, float]:
    """Seconds of a step's arithmetic, and seconds that its communication adds.

    Gradients are reduced during the encoders' backward pass and cost only the excess over it; all other communication
    is waited for.
    """
    own = batch / n_gpus
    of_encoders = 3 * 2 * own * _LEADS * _ENCODER_MACS
    of_projectors = 3 * 2 * own * _LEADS * _PROJECTOR_MACS
    of_loss = 2 * 2 * _LEADS * own * batch * _WIDTH
    rate = assumed.tflops * 1e12 / 2
    n_nodes = math.ceil(n_gpus / assumed.gpus)
    bandwidth = 1e9 * (assumed.near if n_nodes == 1 else min(assumed.near, assumed.far))
    latency = assumed.near_latency + assumed.far_latency * math.log2(n_nodes)

    def took(part: Sent) -> float:
        return part.n_bytes / bandwidth + part.collectives * latency

    if n_gpus == 1:
        return (of_encoders + of_projectors + of_loss) / rate, 0.0
    gradients, *waited = sent(n_gpus, batch)
    hidden = of_encoders * 2 / 3 / rate
    return (of_encoders + of_projectors + of_loss) / rate, max(0.0, took(gradients) - hidden) + sum(map(took, waited))


NETWORKS = (Assumed("InfiniBand, 25 GB/s a GPU", far=25.0), Assumed("Ethernet, 25 Gbit/s a node", far=25 / 8 / 8))
GPUS = (1, 8, 64, 512)


def render() -> str:
    """All tables, as Markdown."""
    lines = ["What one process sends in a step, MB (float32, a batch of 128 records a process):", ""]
    columns = [sent(n, 128 * n) for n in GPUS[1:]]
    lines += _table(["what", "collectives", *(f"{n} processes" for n in GPUS[1:])])
    for parts in zip(*columns, strict=True):
        lines.append(_line(parts[0].what, parts[0].collectives, *(f"{part.n_bytes / 1e6:.1f}" for part in parts)))
    totals = [f"{sum(part.n_bytes for part in column) / 1e6:.1f}" for column in columns]
    lines.append(_line("together", sum(part.collectives for part in columns[0]), *totals))
    matrices = 2 * _LEADS**2 * _WIDTH**2 * _FLOAT / 1e6
    lines += ["", f"To add up the D × D matrices of all pairs of leads instead of projections: {matrices:.0f} MB."]
    for title, batch_of in (("128 records a GPU", lambda n: 128 * n), ("2048 records in all", lambda _: 2048)):
        for assumed in NETWORKS:
            lines += ["", f"{title}; {assumed.name}:", ""]
            lines += _table(["GPUs", "batch", "arithmetic, ms", "waiting, ms", "records/s", "of ideal"])
            alone = None
            for n in GPUS:
                batch = batch_of(n)
                arithmetic, waiting = seconds(n, batch, assumed)
                rate = batch / (arithmetic + waiting)
                alone = alone or rate
                cells = [f"{1e3 * arithmetic:.1f}", f"{1e3 * waiting:.1f}", f"{rate:.0f}", f"{rate / alone / n:.0%}"]
                lines.append(_line(n, batch, *cells))
    return "\n".join(lines)


def _table(names: list[str]) -> list[str]:
    return [_line(*names), _line(*["---"] * len(names))]


def _line(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--docs", type=Path, help="Markdown file whose tables, between its bench markers, are replaced")
    docs = parser.parse_args().docs
    if docs:
        docs.write_text(with_section(docs.read_text(encoding="utf-8"), render()), encoding="utf-8")
    print(render())
