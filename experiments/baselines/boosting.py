"""Gradient-boosted trees (LightGBM), one model per label, on pixels or on components of the flux.

LightGBM is an extra: `pip install specvit-jax[baselines]`; nothing else needs it.
Source: Ke et al. 2017, NeurIPS 30, 3146.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np
from jaxtyping import Float

from crlb.errors import MissingInputError, UsageError
from crlb.files.progress import Advance, progress
from experiments.baselines.components import directions
from experiments.baselines.protocol import Arrays, Chunk, checked, collected, fitted
from experiments.baselines.ridge import add_up
from specvit_jax.evaluation.predict import check_flux


@dataclass(frozen=True)
class Settings:
    """Of the trees; the names are LightGBM's where it has one. Defaults are the published ones."""

    features: Literal["pixels", "components"] = "pixels"
    n_principal: int = 24  # principal components of the standardised flux, where features are components
    n_pls: int = 4  # PLS components of every label, besides them
    learning_rate: float = 0.05
    num_leaves: int = 63
    max_trees: int = 5000
    patience: int = 50  # trees without a smaller squared error on the validation spectra that end the fit
    subsample: float = 0.8  # of the spectra, drawn anew for every tree
    colsample: float = 0.8  # of the features, drawn for every tree
    min_data_in_leaf: int = 20
    lambda_l2: float = 0.0
    threads: int = 0  # 0: all that OpenMP offers
    seed: int = 42

    def __post_init__(self) -> None:
        if self.features not in ("pixels", "components"):
            raise UsageError(f"features must be pixels or components, found {self.features!r}")
        if min(self.max_trees, self.n_principal, self.n_pls) < 1:
            raise UsageError(
                "max_trees, n_principal and n_pls must be at least 1, "
                f"found {self.max_trees}, {self.n_principal} and {self.n_pls}"
            )

    def parameters(self) -> dict[str, Any]:
        """As LightGBM wants them."""
        return {
            "objective": "regression",
            "learning_rate": self.learning_rate,
            "num_leaves": self.num_leaves,
            "bagging_fraction": self.subsample,
            "bagging_freq": 1,
            "feature_fraction": self.colsample,
            "min_data_in_leaf": self.min_data_in_leaf,
            "lambda_l2": self.lambda_l2,
            "seed": self.seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": self.threads,
            "verbosity": -1,
        }


PUBLISHED = Settings()
# Trained on 20,000 spectra of mag 20.5-22.5, R2 of log g on 5,000 others (single runs): 0.554 on 24 principal
# components, 0.561 on 4 PLS components of each of three labels, 0.580 on both together. 15 or 31 leaves and
# larger leaves changed that by less than 0.01.
TUNED = Settings(features="components")


@dataclass
class LightGBM:
    """Boosted trees behind the protocol of all baselines; `basis` maps flux to components, if used.

    Args:
        settings: of the trees.
        given: components to use instead of the principal ones of the noisy training spectra.
    """

    settings: Settings = TUNED
    given: Float[np.ndarray, "n_pix k"] | None = None
    name = "LightGBM"
    n_pix: int = field(default=0, init=False)
    basis: Float[np.ndarray, "n_pix k"] | None = field(default=None, init=False)
    boosters: list[Any] | None = field(default=None, init=False)

    def fit(self, train: Iterable[Chunk], validation: Chunk) -> None:
        """Grows trees until the squared error on the validation spectra stands still, label by label."""
        import_lightgbm()
        flux, labels = collected(self.name, train)
        held_out, truth = checked(validation)
        self.n_pix, self.basis, boosters = flux.shape[1], self.components(flux, labels), []
        seen = self.features(flux), self.features(held_out)
        for i, (column, true) in enumerate(zip(labels.T, truth.T, strict=True), 1):
            # fewer trees than these where more do not help
            with progress(f"{self.name}, label {i}", self.settings.max_trees, unit="trees") as advance:
                boosters.append(grow(self.settings, (seen[0], column), (seen[1], true), advance))
        self.boosters = boosters

    def components(
        self, flux: Float[np.ndarray, "n n_pix"], labels: Float[np.ndarray, "n n_labels"]
    ) -> Float[np.ndarray, "n_pix k"] | None:
        """The directions whose components are the features; None where these are the pixels."""
        if self.given is not None:
            return self.given
        if self.settings.features == "pixels":
            return None
        return directions(add_up([(flux, labels)]), self.settings.n_principal, self.settings.n_pls)

    def features(self, flux: Float[np.ndarray, "n n_pix"]) -> Float[np.ndarray, "n n_features"]:
        """What the trees see of the spectra."""
        return flux if self.basis is None else flux @ self.basis

    def predict(
        self, flux: Float[np.ndarray, "n n_pix"], mag: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, "n n_labels"]:
        """The labels of noisy spectra; the magnitude is not used."""
        boosters = fitted(self.name, self.boosters)
        check_flux(flux, self.n_pix)
        seen = self.features(flux)
        return np.stack([np.asarray(booster.predict(seen)) for booster in boosters], axis=1)

    def arrays(self) -> Arrays:
        """The text of every model, and the basis of the components."""
        models = {
            f"model_{i}": np.frombuffer(booster.model_to_string().encode(), np.uint8)
            for i, booster in enumerate(fitted(self.name, self.boosters))
        }
        basis = {} if self.basis is None else {"basis": self.basis}
        return {"n_pix": np.array(self.n_pix)} | basis | models

    @classmethod
    def restore(cls, arrays: Arrays) -> Self:
        """The trees of `arrays`; the settings they were grown with are not kept."""
        found = cls()
        found.n_pix, found.basis = int(arrays["n_pix"]), arrays.get("basis")
        names = sorted((name for name in arrays if name.startswith("model_")), key=lambda name: int(name[6:]))
        found.boosters = [booster_of(arrays[name].tobytes().decode()) for name in names]
        return found


def import_lightgbm() -> Any:
    """The module.

    Raises:
        MissingInputError: it is not installed, or cannot be loaded.
    """
    try:
        import lightgbm
    except (ImportError, OSError) as error:  # OSError: it is there, but libgomp is not
        raise MissingInputError(
            f"this baseline needs the package lightgbm, which cannot be loaded ({error}); "
            "pip install specvit-jax[baselines]"
        ) from error
    return lightgbm


def grow(
    settings: Settings,
    train: tuple[Float[np.ndarray, "n n_features"], Float[np.ndarray, " n"]],
    validation: tuple[Float[np.ndarray, "m n_features"], Float[np.ndarray, " m"]],
    advance: Advance,
) -> Any:
    """The trees of one label, up to the best on validation; `advance` counts them."""
    lightgbm = import_lightgbm()
    parameters = settings.parameters()
    # LightGBM changes the parameters it is handed.
    data = lightgbm.Dataset(*train, params=dict(parameters), free_raw_data=True)
    booster = lightgbm.train(
        parameters,
        data,
        settings.max_trees,
        valid_sets=[data.create_valid(*validation)],
        callbacks=[
            lightgbm.early_stopping(settings.patience, verbose=False),
            lambda _: advance(1),
        ],
    )
    return booster_of(booster.model_to_string(num_iteration=booster.best_iteration))


def booster_of(text: str) -> Any:
    """The trees in the text of a model."""
    return import_lightgbm().Booster(model_str=text)
