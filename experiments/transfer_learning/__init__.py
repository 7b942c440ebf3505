"""What a network of one grid is worth on another: as it is, recalibrated, fine-tuned, from scratch."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"experiment": ["STUDY"]})
