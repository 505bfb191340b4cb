"""The vectorcardiogram: leads as projections of one vector by Dower's transform, and the vector from leads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lfbt.signal import choose_leads

#: The leads that the others follow from.
INDEPENDENT_LEADS = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")

#: Their vectors: G. E. Dower's transform from the orthogonal leads x (to the left), y (to the feet), z (to the back).
LEAD_VECTORS = np.array(
    [
        [0.632, -0.235, 0.059],
        [0.235, 1.066, -0.132],
        [-0.515, 0.157, -0.917],
        [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277],
        [1.213, 0.127, -0.601],
        [1.125, 0.127, -0.086],
        [0.831, 0.076, 0.230],
    ]
)


def dower_transforms(leads: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Dower's transform to leads, and the inverse one from them.

    The inverse is the pseudoinverse of the transform to the eight independent leads, as Edenbrandt and Pahlm (1988)
    have it: the vector whose projections are nearest to these.

    Parameters
    ----------
    leads : sequence of str
        Standard leads: V1 to V6 and two limb leads or more.

    Returns
    -------
    ndarray, ``[leads, 3]``
        Leads from x, y and z.
    ndarray, ``[3, leads]``
        x, y and z from leads.

    Raises
    ------
    AbsentLeadError
        For leads from which I, II and V1 to V6 do not follow, and for one that does not follow from these.

    Examples
    --------
    >>> to_leads, to_vector = dower_transforms(("II", "III", "V1", "V2", "V3", "V4", "V5", "V6"))
    >>> np.allclose(to_vector @ to_leads, np.eye(3))
    True
    """
    independent = choose_leads(np.eye(len(leads), dtype=np.float32), leads, INDEPENDENT_LEADS)
    own = choose_leads(np.eye(len(INDEPENDENT_LEADS), dtype=np.float32), INDEPENDENT_LEADS, leads)
    return own @ LEAD_VECTORS, np.linalg.pinv(LEAD_VECTORS) @ independent
