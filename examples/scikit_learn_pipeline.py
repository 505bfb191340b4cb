"""Embedder, scaler and classifier as a pipeline of scikit-learn, searched by cross-validation over patients."""

from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import lfbt


def main(folder: Path = Path("scikit_learn_pipeline"), records: int = 200, epochs: int = 3) -> None:
    """Pretrain a small encoder on synthetic ECGs, then search the strength of the regularisation."""
    lfbt.prepare("synthetic", folder / "download", folder / "data", records=records, n_samples=256, workers=1)
    run = lfbt.pretrain(
        folder / "data", folder / "run", preset="small", epochs=epochs, warmup_epochs=0, projector="64-64"
    )
    dataset = lfbt.open_dataset(folder / "data")
    signals = dataset.batch(np.arange(len(dataset)), "none")  # [records, leads, samples] in mV
    labels = np.array([names[0] for names in dataset.labels])

    embedder = lfbt.ECGEmbedder(run, leads=dataset.leads, sampling_rate=dataset.sampling_rate)
    model = make_pipeline(embedder, StandardScaler(), LogisticRegression(max_iter=10_000))
    grid = {"logisticregression__C": [0.001, 0.01, 0.1]}
    search = GridSearchCV(model, grid, scoring="balanced_accuracy", cv=GroupKFold(3))
    search.fit(signals, labels, groups=dataset.patients)
    print(f"{search.best_params_}: balanced accuracy {search.best_score_:.2f} over patients not trained on")


if __name__ == "__main__":
    main()
