"""How close networks come to the exact limit on the same stars: R2 of log g beside R2_Bayes, by SNR."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"experiment": ["STUDY"]})
