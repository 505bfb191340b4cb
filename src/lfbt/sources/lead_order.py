"""Whether the leads of an array are in the order that they are taken for."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfbt.errors import LfbtError
from lfbt.signal import choose_leads

_LIMB_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF")
# Of real ECGs the right order leaves 0.003, and 0.06 after median filters of each lead by itself; the nearest other
# order (III and aVF swapped) leaves 0.23, noise 0.8.
_MAX_RESIDUAL = 0.3
_CLEARLY = 0.05


def check_lead_order(path: Path, signals: Iterable[NDArray[Any]], leads: Sequence[str]) -> None:
    """Compare the order of the limb leads with their signals.

    All six follow from I and II by Einthoven's and Goldberger's equations (III = II − I, aVR = −(I + II)/2,
    aVL = I − II/2, aVF = II − I/2). The part of them that does not, over all `signals` and relative to their size, is
    smallest in the right order of the 720. Nothing is known of chest leads, whose order is not compared.

    Parameters
    ----------
    path : Path
        The file, for the message.
    signals : iterable of ndarray, ``[samples, leads]``
        Some of its recordings, in any unit; those that are not finite, or constant, are left out.
    leads : sequence of str
        The name of each column, the six limb leads among them.

    Raises
    ------
    LfbtError
        If another order of the limb leads explains the signals clearly better, or none does.
    """
    columns = [column for column, lead in enumerate(leads) if lead in _LIMB_LEADS]
    products = np.zeros((6, 6))
    for signal in signals:
        limb = np.asarray(signal, dtype=np.float64)[:, columns]
        if np.isfinite(limb).all():
            limb = limb - limb.mean(axis=0)
            products += limb.T @ limb / max(np.square(limb).sum(), np.finfo(np.float64).tiny)
    size = np.trace(products)
    if not size:
        return

    def residual(order: Sequence[str]) -> float:
        """The unexplained part of the columns if they are the limb leads in this order, from 0 to 1."""
        from_i_and_ii = choose_leads(np.eye(2, dtype=np.float32), ("I", "II"), order).astype(np.float64)
        contradiction = np.eye(6) - from_i_and_ii @ np.linalg.pinv(from_i_and_ii)
        return float(np.sqrt(max(np.sum(contradiction * products), 0) / size))

    stated = [leads[column] for column in columns]
    best = min(itertools.permutations(_LIMB_LEADS), key=residual)
    if residual(stated) > min(residual(best) + _CLEARLY, _MAX_RESIDUAL):
        fitting = ",".join(best) if residual(best) <= _MAX_RESIDUAL else "no order"
        raise LfbtError(
            f"file {path}: its leads are not in the order {','.join(leads)}, because the equations of the limb leads, "
            f"such as aVR = −(I + II)/2, fit {fitting} there; use the file as published"
        )
