"""Lead-Fusion Barlow Twins: learn ECG representations without labels, and put them to use."""

import lazy_loader

__version__ = "0.1.0"

# The names and their modules are in __init__.pyi; each is imported when it is first used, so that `import lfbt` is fast
# and free of torch.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
