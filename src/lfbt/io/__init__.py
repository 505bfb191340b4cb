"""Readers: one file in, one Recording out.

`read` recognises the format. Each format has a reader of its own, a function of a module, so that it can be sent to a
worker process.
"""

from lfbt.io.arrays import map_npy, open_npy, read_npy, read_npy_row
from lfbt.io.clinical import CLINICAL_FORMATS, read_clinical
from lfbt.io.csv import CsvHeader, holds_voltages, read_csv, read_csv_header
from lfbt.io.csv_columns import names_no_lead
from lfbt.io.guarding import guarded, isolated, reading
from lfbt.io.hdf5 import holds_hdf5, read_hdf5, read_hdf5_ids, read_hdf5_row, read_hdf5_start
from lfbt.io.isolation import read_here
from lfbt.io.matlab import read_cpsc_mat
from lfbt.io.reader import read
from lfbt.io.wfdb import read_wfdb, wfdb_signal_files

__all__ = [
    "CLINICAL_FORMATS",
    "CsvHeader",
    "guarded",
    "holds_hdf5",
    "holds_voltages",
    "isolated",
    "map_npy",
    "names_no_lead",
    "open_npy",
    "read",
    "read_clinical",
    "read_cpsc_mat",
    "read_csv",
    "read_csv_header",
    "read_hdf5",
    "read_hdf5_ids",
    "read_hdf5_row",
    "read_hdf5_start",
    "read_here",
    "read_npy",
    "read_npy_row",
    "read_wfdb",
    "reading",
    "wfdb_signal_files",
]
