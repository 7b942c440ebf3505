"""A trained network as one object: `specvit_jax.load("tiny").predict(flux)`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias, overload

import jax
import numpy as np

from crlb.detector import DEFAULT_INSTRUMENT
from crlb.errors import DataError
from crlb.files.observed import Observed
from crlb.readers.many import Spoilt, spectra_of
from crlb.readers.objects import observed_from
from crlb.readers.options import ReadOptions
from specvit_jax.evaluation.distance import Frame, make_frame
from specvit_jax.evaluation.instrument import pixels
from specvit_jax.evaluation.label_stars import label_stars, typical_flux
from specvit_jax.evaluation.labelled import LabelledStars, joined
from specvit_jax.evaluation.predict import BATCH, Predictions, predict
from specvit_jax.evaluation.prepared import Reads
from specvit_jax.evaluation.training_set import TrainingSet, training_set
from specvit_jax.network.find import find_weights
from specvit_jax.network.weights import Weights, load_weights
from specvit_jax.settings.observed_under import conditions_in

MOST_OFF = 2.0  # factor between the level of an array of flux and that of the training
Flux: TypeAlias = np.ndarray | jax.Array | Sequence[float] | Sequence[Sequence[float]] | Sequence[np.ndarray]
Spectra: TypeAlias = str | Path | Observed | Mapping[str, object] | Iterable[object]


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network that reads labels from noisy spectra.

    Args:
        weights: its parameters, configuration and scalers.
        path: of the weights file, beside which the spectra of its training are kept; None: nowhere.
    """

    weights: Weights
    path: Path | None = None

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels it returns, in the order of the columns."""
        return self.weights.config.model.output_names

    @property
    def n_pix(self) -> int:
        """Number of pixels of the spectra it reads."""
        return len(self.weights.input_scaler.mean)

    @cached_property
    def training(self) -> tuple[TrainingSet | None, str]:
        """The spectra it was trained on; or None, and why they are not known."""
        return training_set(self.weights, self.path)

    @cached_property
    def reads(self) -> Reads:
        """Its pixels and what it was trained on.

        Raises:
            DataError: it reads other pixels than the instrument's.
        """
        detector = pixels(self.weights.config, self.n_pix)
        return Reads(detector.wave, detector.width, self.training[0])

    @cached_property
    def frame(self) -> Frame | None:
        """The spectra of its training, prepared for the distance from them; None: not known."""
        return None if self.training[0] is None else make_frame(self.training[0])

    @overload
    def predict(self, spectra: Flux, *, usable: Flux | None = ...) -> Predictions: ...  # type: ignore[overload-overlap]

    @overload
    def predict(self, spectra: Spectra, options: ReadOptions = ...) -> LabelledStars: ...

    def predict(
        self,
        spectra: object,
        options: ReadOptions = ReadOptions(),  # noqa: B008
        *,
        usable: Flux | None = None,
    ) -> Predictions | LabelledStars:
        """Returns the labels of one spectrum or of many, and their 1-sigma errors where it predicts these.

        Args:
            spectra: an array of flux as the network was taught (median 0.5 over the arm, its own pixels): the
                labels come back as `Predictions`. Or one or many of: name of a file of spectra in any format,
                `Observed` spectrum, astropy table or specutils spectrum. They are brought to the network's
                pixels, scale and rest frame first, and come back as `LabelledStars`: with SNR, distance from
                the training, flags.
            options: how files are to be understood.
            usable: beside an array of flux: 0 for lost pixels, whose flux is not read, else 1; None: all are.

        Raises:
            DataError: flux of another number of pixels, not finite, or at another level than the network was
                taught by more than a factor of two, unless it was taught with a free scale; files that
                cannot be read.
            MissingInputError: a file is not there.
            UsageError: no spectra; an option that does not fit the files.
        """
        if _is_flux(spectra):
            mask = None if usable is None else np.atleast_2d(np.asarray(usable))
            flux = np.atleast_2d(np.asarray(spectra))
            found = predict(self.weights, flux, mask)
            self._check_level(flux, mask)
            return found
        return joined(list(self.label(_observed(spectra, options))))

    def _check_level(self, flux: np.ndarray, usable: np.ndarray | None) -> None:
        """Refuses flux in another unit than the network was taught, where its scale counts as known."""
        if conditions_in(self.weights.config.data.conditions).scale:
            return
        level = float(np.median(typical_flux(self.weights)))
        own = np.nanmedian(flux if usable is None else np.where(usable > 0, flux, np.nan), axis=1)
        wrong = np.flatnonzero(~((own > level / MOST_OFF) & (own < level * MOST_OFF)))
        if len(wrong):
            raise DataError(
                f"flux must have a median of about {level:.2g} over the arm, as in the training; found "
                f"{own[wrong[0]]:.3g} in spectrum {wrong[0]}; scale it, or hand over a file or an Observed "
                "spectrum, whose scale is found"
            )

    def label(self, spectra: Iterable[Observed | Spoilt], batch: int = BATCH) -> Iterator[LabelledStars]:
        """Yields the labels of observed spectra in batches; memory does not grow with their number."""
        return label_stars(self.weights, self.reads, self.frame, spectra, batch)

    def assumes(self) -> str:
        """What spectra it was trained for, in one line."""
        config, wave = self.weights.config.data, self.reads.wave
        grid = config.grid or "the embedded grid (own LTE synthesis, not BOSZ)"
        source = f"spectra of {grid}" if config.source == "emulator" else f"the spectra in {config.source}"
        own = config.instrument != DEFAULT_INSTRUMENT
        through = f" of instrument {config.instrument}" if own else ""
        under = "" if config.conditions == "published" else f", conditions {config.conditions}"
        return (
            f"assumes {source}{under}, at rest, {wave[0]:.0f} to {wave[-1]:.0f} Å in vacuum in pixels of "
            f"{self.reads.spacing:.3g} Å{through}, lines {self.reads.lsf_fwhm:.3g} Å wide, {self._noise()}; "
            "other spectra are flagged CONDITIONS"
        )

    def _noise(self) -> str:
        """What noise the spectra of its training had; magnitudes only where they were asked for."""
        config, training = self.weights.config.data, self.training[0]
        if config.snr is not None:
            return "noise of SNR {:.2g} to {:.2g}".format(*config.snr)
        if training is None:
            return "noise of i = {:g} to {:g} mag".format(*config.mag)
        words = "noise of i = {:g} to {:g} mag (SNR {:.2g} to {:.2g})"
        return words.format(*training.mag_range, *training.snr_range)


def load(network: str | Path) -> TrainedNetwork:
    """Returns a trained network: shipped (by the name of its preset), of a run directory, or a weights file.

    Raises:
        MissingInputError: there is none of that name.
        DataError: the file is damaged or not one of this project.
    """
    path = find_weights(network)
    return TrainedNetwork(load_weights(path), path)


def _is_flux(spectra: object) -> bool:
    """Whether these are numbers: an array, or a list of numbers or of arrays."""
    if isinstance(spectra, list | tuple):
        return bool(spectra) and isinstance(spectra[0], int | float | np.ndarray | jax.Array | list | tuple)
    return isinstance(spectra, np.ndarray | jax.Array)


def _observed(spectra: object, options: ReadOptions) -> Iterator[Observed | Spoilt]:
    """One spectrum, or file, or object in memory after the other."""
    each = spectra if isinstance(spectra, list | tuple | Iterator) else [spectra]
    for one in each:
        if isinstance(one, Observed):
            yield one
        elif isinstance(one, str | Path):
            yield from spectra_of([Path(one)], options)
        else:
            yield from observed_from(one, options)
