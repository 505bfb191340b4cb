"""The files of a prepared data set, and the layouts that can be opened."""

from __future__ import annotations

MANIFEST = "dataset.json"
SIGNALS = "signals.npy"
RECORDS = "records.csv"
DROPPED = "dropped.csv"


LAYOUTS = (
    f"a packed data set ({MANIFEST}, {SIGNALS}, {RECORDS}, made by `lfbt prepare`), "
    "DIR/samples/*.npy, DIR/CLASS/*.npy or DIR/{train,val,test}/CLASS/*.npy"
)
