"""Speed and memory of lfbt compared with a literal implementation of the method; ``python -m benchmarks --help``."""
