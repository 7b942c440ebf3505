"""The posterior mean: of all estimators, the one with the smallest mean squared error on stars of the prior.

    E[labels | y],     prior uniform over the box of the grid,     likelihood of `crlb.bayes.likelihood`

What the template fit knows, and the prior that trained methods learn from their training set: an estimator as
practical as they are, only slower, and the one that reaches the exact limit of the R2-SNR figure.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

import jax
import numpy as np
from jaxtyping import Float

from crlb import Inference, Observations, Posterior, make_prior, posterior
from crlb.files.progress import progress
from experiments.baselines.forward import EMBEDDED, Forward, check_stars
from experiments.baselines.protocol import Arrays, Chunk, fitted


@dataclass
class PosteriorMean:
    """The posterior mean behind the protocol of all baselines.

    Args:
        forward: emulator and noise.
        target_ess: effective number of points that every star needs.
        seed: of the quasi-random points; same seed, same answer for the same stars.
    """

    forward: Forward = EMBEDDED
    target_ess: float = 256.0
    seed: int = 0
    name: str = "Posterior mean"
    settled: Forward | None = field(default=None, init=False)

    def fit(self, train: Iterable[Chunk], validation: Chunk) -> None:
        """Learns nothing from spectra, which it does not look at; settles the order of the labels."""
        self.settled = self.forward.fixed_by(self.name, validation)

    def posterior(self, flux: Float[np.ndarray, "n n_pix"], mag: Float[np.ndarray, " n"]) -> Posterior:
        """All that is known of each star, labels in the order of the emulator."""
        forward = fitted(self.name, self.settled)
        model, emulator = forward.model, forward.emulator
        check_stars(flux, mag, model)
        prior, key = make_prior(emulator.low, emulator.high, emulator.label_names), jax.random.key(self.seed)
        inference = Inference(target_ess=self.target_ess)
        with progress(self.name, len(flux)) as advance:
            return posterior(
                Observations(flux, mag), model, prior, key=key, inference=inference, advance=advance
            )

    def predict(
        self, flux: Float[np.ndarray, "n n_pix"], mag: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, "n n_labels"]:
        """The labels of noisy spectra."""
        return self.posterior(flux, mag).mean[:, fitted(self.name, self.settled).columns]

    def arrays(self) -> Arrays:
        """The files' names and the settings."""
        settings = {"target_ess": np.array(self.target_ess), "seed": np.array(self.seed)}
        return fitted(self.name, self.settled).arrays() | settings

    @classmethod
    def restore(cls, arrays: Arrays) -> Self:
        """The posterior mean of `arrays`."""
        found = cls(Forward.restore(arrays), float(arrays["target_ess"]), int(arrays["seed"]))
        found.settled = found.forward
        return found
