"""Encoders and classifiers applied to recordings: predictions, embeddings, for scikit-learn too; encoders to share."""

__all__ = [
    "answer_table",
    "answering",
    "classifier",
    "embedding",
    "embedding_folder",
    "embedding_table",
    "encoder",
    "estimators",
    "watching",
]
