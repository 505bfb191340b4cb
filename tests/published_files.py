"""Small files in published forms, written byte by byte and not by lfbt."""

import pickle
from pathlib import Path

import numpy as np
import scipy.io
import scipy.signal

from lfbt.recording import STANDARD_LEADS
from lfbt.sources.listing import Entry, Listing

RNG = np.random.default_rng(0)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def write_wfdb(
    folder, name, steps=None, *, gains=None, units=None, leads=STANDARD_LEADS, record=None, rate=500, dx=None
):
    """A WFDB record of 16-bit samples by hand; `steps` [leads, samples] int16 is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    steps = RNG.integers(-2000, 2000, (len(leads), 40), dtype=np.int16) if steps is None else steps
    lines = [f"{record or name} {len(leads)} {rate} {steps.shape[1]}"]
    for row, lead in enumerate(leads):
        gain, unit = (gains or [1000] * len(leads))[row], (units or ["mV"] * len(leads))[row]
        lines.append(f"{name}.dat 16 {gain}(0)/{unit} 16 0 {steps[row, 0]} 0 0 {lead}")
    lines += [] if dx is None else ["#Age: 50", dx, "#Rx: 1234567"]
    (folder / f"{name}.hea").write_text("\n".join(lines) + "\n")
    (folder / f"{name}.dat").write_bytes(steps.T.astype("<i2").tobytes())
    return steps


def write_mat(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"ECG": {"sex": "Male", "age": 50, "data": data}}, do_compression=True)


def write_hdf5(path, **arrays):
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return path


def twelve_leads(n_samples, leads=STANDARD_LEADS):
    """Signals ``[leads, samples]`` float32 in mV whose limb leads obey Einthoven's and Goldberger's equations."""
    one, two, *chest = RNG.laplace(0, 0.7, size=(8, n_samples))
    limbs = {"I": one, "II": two, "III": two - one, "aVR": -(one + two) / 2, "aVL": one - two / 2, "aVF": two - one / 2}
    rows = limbs | {f"V{number}": signal for number, signal in enumerate(chest, start=1)}
    return np.array([rows[lead] for lead in leads], dtype=np.float32)


def taken_up(lead, n_samples):
    """A lead resampled without its line and mirrored at both ends, by scipy."""
    lead = np.asarray(lead, dtype=np.float64)
    n = len(lead)
    step = (lead[-1] - lead[0]) / (n - 1)
    level = lead - lead[0] - step * np.arange(n)
    before, after = n // 2, n - n // 2
    mirrored = [-level[n - 2 - k] for k in range(after)] + [-level[before - k] for k in range(before)]
    periodic = np.concatenate([level, mirrored])
    slow = np.arange(n_samples) * n / n_samples
    return scipy.signal.resample(periodic, 2 * n_samples)[:n_samples] + lead[0] + step * slow


def ids(listing: Listing):
    return [entry.id for entry in listing.entries]


def drops(listing: Listing):
    return [(drop.id, drop.file, drop.reason) for drop in listing.dropped]


def sent(entry: Entry) -> Entry:
    """`entry` as a worker process gets it."""
    return pickle.loads(pickle.dumps(entry))  # noqa: S301 - written on the same line
