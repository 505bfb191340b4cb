"""How good an encoder is: metrics, probing, fine-tuning, trials."""

__all__ = [
    "aggregation",
    "bootstrap",
    "classifiers",
    "curves",
    "fine_tuning",
    "lead_dropout",
    "metrics",
    "probing",
    "projections",
    "saliency",
    "series",
    "settings",
    "significance",
]
