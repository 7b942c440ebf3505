"""Where the network looks, and whether the information is there."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"experiment": ["STUDY"]})
