"""Errors of log g star by star: where they are, and how they stand to what each spectrum can tell."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"experiment": ["STUDY"]})
