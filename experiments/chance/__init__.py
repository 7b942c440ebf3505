"""Whether it is chance that the posterior mean misses its own limit on the faintest stars of the test set."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"experiment": ["STUDY"]})
