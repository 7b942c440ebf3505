"""The forward model of a stellar spectrum and the information it holds about its labels.

>>> import crlb
>>> model = crlb.forward_model()
>>> star = model.star(T_eff=4800.0, log_g=2.5, M_H=-0.5, mag=21.5)
>>> round(star.snr, 1), round(star.fisher().bound("log_g"), 2)
(7.2, 0.54)

Names are fetched on first use: `import crlb` loads neither jax nor h5py.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
