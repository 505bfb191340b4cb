"""The files of a prepared data set, and the layouts that can be opened."""

from __future__ import annotations

MANIFEST = "dataset.json"
SIGNALS = "signals.npy"
RECORDS = "records.csv"
DROPPED = "dropped.csv"

#: The layouts in words, for messages.
LAYOUTS = (
    f"a packed data set ({MANIFEST}, {SIGNALS}, {RECORDS}, written by `lfbt prepare`), "
    "DIR/samples/*.npy, DIR/CLASS/*.npy or DIR/{train,val,test}/CLASS/*.npy"
)
