"""Embeddings of ECG files of several formats, made to fit the encoder by what each file states."""

from pathlib import Path

import numpy as np
import pandas as pd

import lfbt
from lfbt.models.encoder import EncoderConfig


def write_files(folder: Path) -> list[Path]:
    """Write one synthetic ECG of ten seconds as NumPy (in µV) and as CSV (in mV, with a header and times)."""
    seconds = np.arange(5000) / 500
    signal = np.stack([np.sin(2 * np.pi * 1.2 * seconds), np.cos(2 * np.pi * 1.2 * seconds)])  # [leads, samples]
    np.save(folder / "a.npy", signal * 1000)
    pd.DataFrame({"time [s]": seconds, "II": signal[0], "V1": signal[1]}).to_csv(folder / "b.csv", index=False)
    return [folder / "a.npy", folder / "b.csv"]


def main(folder: Path = Path("embed_files")) -> None:
    """Embed both files, and compare."""
    folder.mkdir(parents=True, exist_ok=True)
    array, table = write_files(folder)
    # In earnest: lfbt.load_encoder("runs/pretrain"). This one has random weights.
    encoder = lfbt.Encoder(EncoderConfig(("II", "V1"), sampling_rate=102.4, n_samples=1024)).eval()
    # NumPy files state nothing; CSV files state leads and times, DICOM, SCP-ECG, aECG and WFDB the unit as well.
    recordings = [lfbt.read(array, leads="II,V1", sampling_rate=500, unit="uV"), lfbt.read(table)]
    embeddings = encoder.embed(recordings)
    print(f"{len(recordings)} files -> {embeddings.shape}")
    print(f"the same embedding of both: {np.allclose(embeddings[0], embeddings[1])}")
    print(f"a list of files that state all there is to know: {encoder.embed([table, table]).shape}")


if __name__ == "__main__":
    main()
