"""Does the start decide whether the sliding-window tokenizer trains? Token strengths, R2 of log g by step."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"experiment": ["STUDY"]})
