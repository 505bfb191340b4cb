"""Pretraining in a loop of your own: two views of a batch, encoder, projector, the LFBT loss."""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

import lfbt
from lfbt.models.encoder import EncoderConfig


def main(
    folder: Path = Path("train_in_plain_pytorch"), records: int = 200, epochs: int = 3, batch_size: int = 32
) -> list[float]:
    """Train on synthetic ECGs, save the encoder, and return the mean loss of each epoch."""
    lfbt.prepare("synthetic", folder / "download", folder / "data", records=records, n_samples=256, workers=1)
    dataset = lfbt.open_dataset(folder / "data")
    torch.manual_seed(0)
    loader = DataLoader(dataset, batch_size=batch_size, shuffle=True, drop_last=True)

    # Signals of the loader are in mV, so the encoder is one of mV: its settings travel with its weights.
    config = EncoderConfig(dataset.leads, dataset.sampling_rate, dataset.n_samples, normalisation="none")
    encoder = lfbt.Encoder(config, history={"method": "LFBT, a loop of my own"})
    projector = nn.Sequential(nn.Linear(config.n_features, 64), nn.ReLU(), nn.Linear(64, 64))
    loss_of = lfbt.LFBTLoss(gamma=0.8)
    optimizer = torch.optim.AdamW([*encoder.parameters(), *projector.parameters()], lr=1e-3)
    generator = np.random.default_rng(0)  # of the views

    losses = []
    for epoch in range(epochs):
        encoder.train()
        of_epoch = []
        for batch in loader:
            views = lfbt.random_views(batch.signal, generator)  # [2 views, records, leads, samples]
            z1, z2 = projector(encoder(views))  # [records, leads, 64] each
            loss = loss_of(z1, z2)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            of_epoch.append(loss.item())
        losses.append(float(np.mean(of_epoch)))
        print(f"epoch {epoch + 1}: loss {losses[-1]:.2f}")

    encoder.eval().save_pretrained(folder / "encoder")
    print(f"embeddings {lfbt.load_encoder(folder / 'encoder').embed(dataset).shape}")
    return losses


if __name__ == "__main__":
    main()
