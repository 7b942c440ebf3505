"""R2 of log g under the conditions of a survey: the limit, and networks that live with them or do not."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"experiment": ["STUDY"]})
