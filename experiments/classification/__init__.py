"""Giants against dwarfs: a network that learns the class, one that learns log g, and what can be known."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"experiment": ["STUDY"]})
