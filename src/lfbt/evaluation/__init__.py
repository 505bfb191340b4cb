"""How good an encoder is: metrics, probing, fine-tuning, trials."""

__all__ = ["aggregation", "bootstrap", "fine_tuning", "probing", "settings", "significance", "trials"]
