"""How good an encoder is: metrics, probing, fine-tuning, trials."""
