"""Small data sets of synthetic ECG to check, and shorthands for the results."""

import functools

import numpy as np
import scipy.signal
from tests.factories import write_packed

from lfbt.audit.checks import CheckSettings, check
from lfbt.cli.app import main
from lfbt.recording import PAPER_LEADS, STANDARD_LEADS
from lfbt.signal import fit_samples
from lfbt.sources.synthesis import make_record

SPLIT = ["train"] * 10 + ["val"] * 4 + ["test"] * 6


@functools.cache
def generate_ecg(seed=0, n_records=20, n_samples=512):
    """Synthetic ECG ``[records, 12 leads, samples]``, ten seconds in mV."""
    signals = [make_record(seed, number).signal.astype(np.float32) for number in range(1, n_records + 1)]
    return np.stack([fit_samples(signal, 5000, n_samples) for signal in signals])


def prepare_differently(signals):
    """The same records as another would prepare them: 2048 samples, eight leads, z-scored, in another order."""
    rows = [STANDARD_LEADS.index(lead) for lead in PAPER_LEADS]
    other = scipy.signal.resample(signals[::-1], 2048, axis=2)[:, rows]
    return (other - other.mean(axis=(1, 2), keepdims=True)) / other.std(axis=(1, 2), keepdims=True)


def write(folder, signals=None, split=SPLIT, leads=STANDARD_LEADS, **changes):
    """A packed data set of some of the leads of `signals`."""
    signals = generate_ecg() if signals is None else signals
    rows = [STANDARD_LEADS.index(lead) for lead in leads]
    return write_packed(folder, signals[:, rows], split=split, leads=leads, **changes)


def run_check(*folders, **settings):
    return check(CheckSettings(folders, **settings))


def run_command(*words):
    """The status that the command ends with."""
    try:
        main(["check", *map(str, words)])
    except SystemExit as ended:
        return ended.code
    return 0


def tally(report, severity=None):
    """How often each kind of finding occurs."""
    kinds = [finding.kind for finding in report.findings if severity in (None, finding.severity)]
    return {kind: kinds.count(kind) for kind in kinds}


def list_excluded(report):
    return [(report.names[k], report.datasets[k].ids[row]) for k, row in report.exclude]
