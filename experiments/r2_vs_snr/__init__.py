"""The R2-SNR figure: what log g a spectrum can tell, and what every method reads from it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"experiment": ["STUDY"]})
