"""What brings a small network to the limit: its input, an average of its weights, a teacher."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"experiment": ["STUDY"]})
