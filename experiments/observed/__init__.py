"""Real spectra with labels from the literature, through the posterior, the nearest node and a network."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"experiment": ["STUDY"]})
