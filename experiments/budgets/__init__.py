"""Equal budgets: every method learns from as many fresh spectra, and reads the same numbers of them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"experiment": ["STUDY"]})
