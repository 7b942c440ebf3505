"""Labels on the nodes of the grid: what the published sampling hides."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"experiment": ["STUDY"]})
