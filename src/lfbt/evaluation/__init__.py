"""How good an encoder is: metrics, probing, fine-tuning, trials."""

__all__ = [
    "aggregation",
    "bootstrap",
    "classifiers",
    "fine_tuning",
    "lead_dropout",
    "metrics",
    "probing",
    "settings",
    "significance",
    "trials",
]
