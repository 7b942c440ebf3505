"""How a spectrum is best cut into tokens: patch size, overlap, tokenizer, its start, chunk normalisation."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"experiment": ["STUDY"]})
