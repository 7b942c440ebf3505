"""Which loss, in which unit of the labels: L1, MSE, Huber, Gaussian likelihood; z-score and min-max."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"experiment": ["STUDY"]})
