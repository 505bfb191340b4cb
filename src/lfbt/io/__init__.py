"""One file in, recordings out."""
