"""Speed and memory of lfbt against a literal form of the method; ``python -m benchmarks --help``."""
