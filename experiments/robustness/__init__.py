"""Spectra that differ from those in training: other noise, distortions that no training spectrum showed."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"experiment": ["STUDY"]})
