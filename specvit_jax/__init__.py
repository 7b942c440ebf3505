"""SpecViT: a Vision Transformer that reads stellar labels from one noisy spectrum.

>>> import crlb, jax, numpy, specvit_jax
>>> model = crlb.forward_model()
>>> noisy, error = model.draw(jax.random.key(0), numpy.array([4800.0, 2.5, -0.5]), 20.0)
>>> found = specvit_jax.load("tiny").predict(numpy.asarray(noisy))
>>> print(f"log g {found.of('log_g')[0]:.1f} dex, T_eff {found.of('T_eff')[0]:.0f} K")
log g 2.5 dex, T_eff 4802 K

Names are fetched on first use: `import specvit_jax` loads neither jax nor h5py.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
