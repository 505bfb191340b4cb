"""An encoder with a card of its figures: in a folder, or on the Hugging Face Hub where a name is given."""

import sys
from pathlib import Path

import lfbt


def main(
    repository: str | None = None, folder: Path = Path("push_to_hub"), records: int = 200, epochs: int = 3
) -> None:
    """Pretrain and probe a small encoder on synthetic ECGs, and publish it with the probe's figures."""
    lfbt.prepare("synthetic", folder / "download", folder / "data", records=records, n_samples=256, workers=1)
    run = lfbt.pretrain(
        folder / "data", folder / "run", preset="small", epochs=epochs, warmup_epochs=0, projector="64-64"
    )
    lfbt.probe(folder / "data", folder / "probe", run, epochs=20)

    encoder = lfbt.load_encoder(run)
    if repository is None:
        encoder.save_pretrained(folder / "shared", runs=folder / "probe", license_id="mit")
        print((folder / "shared" / "README.md").read_text())
    else:  # pip install 'lfbt[hub]', then: hf auth login
        print(encoder.push_to_hub(repository, runs=folder / "probe", license_id="mit", private=True))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)  # such as owner/name
