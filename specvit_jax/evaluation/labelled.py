"""Labels of observed stars as a table: label, sigma, how much the spectrum is like those of the training."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from crlb.errors import UsageError
from crlb.files.flags import LEGEND
from crlb.files.observed import Origin
from crlb.files.tables import About, Column, TableFile
from crlb.labels import unit_of
from crlb.suggest import meant
from specvit_jax.settings.outputs import meaning_of

if TYPE_CHECKING:
    from astropy.table import Table

FIRST = (
    Column("file", description="file of the spectrum", kind="text"),
    Column("row", description="row, fibre or spectrum within the file, from 0", kind="integer"),
    Column("star", description="name or identifier, as the file says", kind="text"),
)
LAST = (
    Column("snr", description="median over usable pixels of flux/error"),
    Column("good_pixels", description="fraction of the network's pixels that are usable"),
    Column("distance", description="Mahalanobis distance from the training spectra per sqrt(pixels)"),
    Column("p_value", description="share of the training spectra that are farther"),
    Column("rv_kms", "km / s", "radial velocity that was removed; NaN: not known, none removed"),
    Column("flags", description="what to beware of: see the legend", kind="text"),
    Column("note", description="why a spectrum was not used; which conditions differ", kind="text"),
)


@dataclass(frozen=True, eq=False)
class LabelledStars:
    """Labels of observed stars, a row for each; NaN where a spectrum cannot be used.

    Args:
        label_names: in the order of the columns; of a network that tells two classes apart, that of the
            probability: P_log_g_above_2.5, say.
        labels: in their own units.
        sigma: their 1-sigma errors, where the network predicts these; else None.
        origins: where each spectrum comes from.
        snr: median over usable pixels of flux/error.
        good_pixels: fraction of the network's pixels that are usable.
        distance: from the training spectra, about 1 for one of them; NaN where these are not known.
        p_value: share of the training spectra that are farther.
        rv_kms: radial velocity that was removed, km/s; NaN: none.
        flags: names of `crlb.files.flags.LEGEND` with commas, "-" for none.
        notes: why a spectrum was not used; which conditions differ from the training.
    """

    label_names: tuple[str, ...]
    labels: Float[np.ndarray, "n n_labels"]
    sigma: Float[np.ndarray, "n n_labels"] | None
    origins: tuple[Origin, ...]
    snr: Float[np.ndarray, " n"]
    good_pixels: Float[np.ndarray, " n"]
    distance: Float[np.ndarray, " n"]
    p_value: Float[np.ndarray, " n"]
    rv_kms: Float[np.ndarray, " n"]
    flags: tuple[str, ...]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        """The number of stars."""
        return len(self.origins)

    def of(self, label: str) -> Float[np.ndarray, " n"]:
        """The values of one label.

        Raises:
            UsageError: it was not predicted.
        """
        if label not in self.label_names:
            known = self.label_names
            raise UsageError(f"label must be one of {', '.join(known)}, found {label}{meant(label, known)}")
        return self.labels[:, self.label_names.index(label)]

    def columns(self) -> dict[str, Sequence[object]]:
        """The columns of the table by name."""
        found: dict[str, Sequence[object]] = {
            "file": [one.path for one in self.origins],
            "row": [one.row or 0 for one in self.origins],
            "star": [one.star for one in self.origins],
        }
        for i, name in enumerate(self.label_names):
            found[name] = self.labels[:, i].tolist()
            if self.sigma is not None:
                found[f"{name}_sigma"] = self.sigma[:, i].tolist()
        numbers = {name: getattr(self, name).tolist() for name in _NUMBERS}
        return found | numbers | {"flags": self.flags, "note": self.notes}

    def to_table(self) -> "Table":
        """The astropy table, with units, descriptions and the legend of the flags."""
        from astropy.table import Table

        described = columns_of(self.label_names, self.sigma is not None)
        found = Table(
            [list(self.columns()[one.name]) for one in described],
            names=[one.name for one in described],
            units=[one.unit or None for one in described],
            descriptions=[one.description or None for one in described],
        )
        found.meta["flags"] = dict(LEGEND)
        return found

    def write(self, path: str | Path, overwrite: bool = False, about: About | None = None) -> None:
        """Writes the table, whole or not at all; .csv, .ecsv, .fits or .fits.gz chooses the format.

        Raises:
            UsageError: the name says no format.
            OutputError: the file exists and `overwrite` is False, or cannot be created.
        """
        described = columns_of(self.label_names, self.sigma is not None)
        header = {"flags": LEGEND} | dict(about or {})
        with TableFile(path, described, about=header, fingerprint={}, overwrite=overwrite) as table:
            table.append(self.columns())


_NUMBERS = tuple(one.name for one in LAST if one.kind == "number")


def columns_of(label_names: tuple[str, ...], with_sigma: bool) -> tuple[Column, ...]:
    """The columns of a table of labelled stars, in order."""
    labels = []
    for name in label_names:
        labels.append(Column(name, unit_of(name), meaning_of(name)))
        if with_sigma:
            labels.append(Column(f"{name}_sigma", unit_of(name), f"1-sigma error of {name}"))
    return (*FIRST, *labels, *LAST)


def joined(parts: Sequence[LabelledStars]) -> LabelledStars:
    """The stars of several tables of one network in one.

    Raises:
        UsageError: there is none.
    """
    if not parts:
        raise UsageError("no spectra: give at least one")
    sigmas = [one.sigma for one in parts if one.sigma is not None]
    return LabelledStars(
        label_names=parts[0].label_names,
        labels=np.concatenate([one.labels for one in parts]),
        sigma=np.concatenate(sigmas) if sigmas else None,
        origins=tuple(x for one in parts for x in one.origins),
        snr=np.concatenate([one.snr for one in parts]),
        good_pixels=np.concatenate([one.good_pixels for one in parts]),
        distance=np.concatenate([one.distance for one in parts]),
        p_value=np.concatenate([one.p_value for one in parts]),
        rv_kms=np.concatenate([one.rv_kms for one in parts]),
        flags=tuple(x for one in parts for x in one.flags),
        notes=tuple(x for one in parts for x in one.notes),
    )
