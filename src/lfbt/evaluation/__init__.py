"""How good an encoder is: metrics, probing, fine-tuning, trials."""

__all__ = ["aggregation", "bootstrap", "fine_tuning", "metrics", "probing", "settings", "significance", "trials"]
