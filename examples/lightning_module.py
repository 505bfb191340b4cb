"""The same pretraining as a module of Lightning; it needs `pip install lightning`."""

from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import lfbt
from lfbt.models.encoder import EncoderConfig


class Pretraining(lightning.LightningModule):
    """Encoder and projector, trained with the LFBT loss of two views."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.encoder = lfbt.Encoder(config, history={"method": "LFBT, Lightning"})
        self.projector = nn.Sequential(nn.Linear(config.n_features, 64), nn.ReLU(), nn.Linear(64, 64))
        self.loss = lfbt.LFBTLoss(gamma=0.8)
        self.generator = np.random.default_rng(0)  # of the views

    def training_step(self, batch: Any, batch_index: int) -> Tensor:  # noqa: ARG002
        """The loss of a batch."""
        views = lfbt.random_views(batch.signal, self.generator)  # [2 views, records, leads, samples]
        z1, z2 = self.projector(self.encoder(views))
        loss: Tensor = self.loss(z1, z2)
        self.log("loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def main(folder: Path = Path("lightning_module"), records: int = 200, epochs: int = 3, batch_size: int = 32) -> None:
    """Train on synthetic ECGs, and save the encoder."""
    lfbt.prepare("synthetic", folder / "download", folder / "data", records=records, n_samples=256, workers=1)
    dataset = lfbt.open_dataset(folder / "data")
    loader = DataLoader(dataset, batch_size=batch_size, shuffle=True, drop_last=True)
    config = EncoderConfig(dataset.leads, dataset.sampling_rate, dataset.n_samples, normalisation="none")
    module = Pretraining(config)
    trainer = lightning.Trainer(max_epochs=epochs, default_root_dir=folder, logger=False, enable_checkpointing=False)
    trainer.fit(module, loader)
    module.encoder.cpu().eval().save_pretrained(folder / "encoder")
    print(f"embeddings {lfbt.load_encoder(folder / 'encoder').embed(dataset).shape}")


if __name__ == "__main__":
    main()
