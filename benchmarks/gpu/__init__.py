"""What was never run on a GPU, checked and measured there by one command: ``python -m benchmarks.gpu``."""

from benchmarks.gpu.packages import find_packages

find_packages()
