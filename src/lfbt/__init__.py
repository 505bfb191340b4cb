"""Lead-Fusion Barlow Twins: learn ECG representations without labels, and put them to use."""

__version__ = "0.1.0"
