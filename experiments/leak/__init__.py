"""What a network would learn from errors beside the flux: those of noiseless models tell the labels."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"experiment": ["STUDY"]})
