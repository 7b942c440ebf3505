"""Whether a network knows how well it knows: predicted sigma of log g beside the exact posterior's."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"experiment": ["STUDY"]})
