"""Readers: one file in, one Recording out.

`read` recognises the format. Each format has a reader of its own, a function of a module, so that it can be sent to a
worker process.
"""

from lfbt.io.arrays import map_npy, open_npy, read_npy, read_npy_row
from lfbt.io.clinical import CLINICAL_FORMATS, read_clinical
from lfbt.io.csv import CsvHeader, holds_voltages, read_csv, read_csv_header
from lfbt.io.csv_columns import names_no_lead
from lfbt.io.hdf5 import open_hdf5, read_hdf5, read_hdf5_ids, read_hdf5_row
from lfbt.io.matlab import read_cpsc_mat
from lfbt.io.reader import read
from lfbt.io.recordings import READ_ERRORS, unreadable
from lfbt.io.wfdb import read_wfdb, wfdb_signal_files

__all__ = [
    "CLINICAL_FORMATS",
    "READ_ERRORS",
    "CsvHeader",
    "holds_voltages",
    "map_npy",
    "names_no_lead",
    "open_hdf5",
    "open_npy",
    "read",
    "read_clinical",
    "read_cpsc_mat",
    "read_csv",
    "read_csv_header",
    "read_hdf5",
    "read_hdf5_ids",
    "read_hdf5_row",
    "read_npy",
    "read_npy_row",
    "read_wfdb",
    "unreadable",
    "wfdb_signal_files",
]
