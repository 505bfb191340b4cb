"""Encoders and classifiers applied to recordings: predictions, embeddings, for scikit-learn too; encoders to share."""

__all__ = [
    "answer_table",
    "answering",
    "classifier",
    "drawing",
    "embed_settings",
    "embedding",
    "embedding_folder",
    "embedding_table",
    "encoder",
    "estimators",
    "export",
    "loading",
    "prediction",
    "recordings",
    "torch_model",
    "watching",
]
