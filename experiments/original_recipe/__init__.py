"""What makes the original's own recipe better with more spectra: steps, spectra, stopping, last weights?"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"experiment": ["STUDY"]})
