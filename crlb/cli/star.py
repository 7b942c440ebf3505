"""`crlb fisher` and `crlb spectrum`: one star's bounds, and its spectrum with noise."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from crlb.cli.forward_model import File, ForwardModelOptions, Values, pairs
from crlb.cli.output import check_outputs, console, unit, write_csv, write_json, write_outputs
from crlb.errors import UsageError
from crlb.labels import LABELS

if TYPE_CHECKING:
    import numpy as np

    from crlb.fisher.algebra import LabelledFisher
    from crlb.observation.star import Star

Number = Annotated[float | None, tyro.conf.arg(metavar="FLOAT")]
TABLES = (".csv", ".ecsv", ".h5")


@dataclass(frozen=True, kw_only=True)
class StarOptions(ForwardModelOptions):
    """One star: its labels and its brightness."""

    T_eff: Number = None
    """Effective temperature, K; needed where it is a free label, as are the next two."""
    log_g: Number = None
    """log10 of surface gravity in cm/s^2, dex."""
    M_H: Number = None
    """Metallicity relative to the Sun, dex."""
    a_M: Number = None
    """Enhancement of the alpha elements, dex, where `--labels` has it (otherwise `--fix a_M=...`)."""
    C_M: Number = None
    """Enhancement of carbon, dex, likewise."""
    mag: float
    """AB magnitude in i."""

    def star(self, label_names: tuple[str, ...]) -> "np.ndarray":
        """The labels in the order of the emulator."""
        import numpy as np

        given = {name: getattr(self, name) for name in ("T_eff", "log_g", "M_H", "a_M", "C_M")}
        missing = [name for name in label_names if given.get(name) is None]
        if missing:
            raise UsageError(f"--{missing[0]} is needed: it is a free label of this grid")
        held = self.fixed()
        for name, value in given.items():
            if value is not None and name not in label_names and held.get(name) != value:
                at = f"held at {held[name]:g} by --fix" if name in held else "not a free label of this grid"
                raise UsageError(
                    f"--{name} {value:g} has no effect: {name} is {at}; leave it out, free it with --labels, "
                    f"or hold it there with --fix {name}={value:g}"
                )
        return np.array([given[name] for name in label_names])


@dataclass(frozen=True, kw_only=True)
class StarWithNuisances(StarOptions):
    """One star, and what a fit of it must find besides the labels."""

    amplitude: bool = False
    """The flux scale is unknown too."""
    continuum: int = 0
    """Order of an unknown multiplicative continuum polynomial; 0 for none."""
    rv: bool = False
    """The radial velocity (km/s) is unknown too."""
    lsf: bool = False
    """The width of the line-spread function (FWHM, Å) is unknown too."""

    def observed(self) -> "Star":
        """The star's flux, derivatives and noise, with the nuisances among its unknowns."""
        from crlb.observation.build import with_unknowns
        from crlb.observation.nuisance import Nuisances
        from crlb.observation.star import observe

        unknown = Nuisances(self.amplitude, self.continuum, self.rv, self.lsf)
        model, nuisances = with_unknowns(
            self.load_grid(), self.load_noise(), unknown, lsf_fwhm=self.lsf_fwhm,
            wave_range=self.wave_range, degree=self.degree,
        )  # fmt: skip
        return observe(model, self.star(model.label_names), self.mag, nuisances)


@dataclass(frozen=True, kw_only=True)
class Fisher(StarWithNuisances):
    """One star's Cramer-Rao bounds: conditional and marginal, correlations, conditioning of the matrix.

    To copy and paste:
      crlb fisher --T_eff 4800 --log_g 2.5 --M_H -0.5 --mag 21.5
      crlb fisher --T_eff 4800 --log_g 2.5 --M_H -0.5 --mag 20 --amplitude --continuum 3 --prior T_eff=100
    """

    prior: Values = ()
    """1-sigma of Gaussian priors, in the labels' units."""
    ellipse: Annotated[tuple[str, str] | None, tyro.conf.arg(metavar="LABEL LABEL")] = None
    """Two labels whose joint confidence ellipse is given."""
    probability: float = 0.6827
    """Probability inside the ellipse."""
    json: File = None
    """Write everything shown, with provenance."""
    overwrite: bool = False
    """Allow output files to be replaced."""

    def __call__(self) -> None:
        check_outputs(self.json, overwrite=self.overwrite)
        from crlb.fisher.algebra import add_prior

        star = self.observed()
        fisher = star.fisher()
        fisher = add_prior(fisher, pairs("--prior", self.prior))
        result = _describe(fisher) | {"mag": self.mag, "snr": star.snr, "provenance": self.provenance()}
        if self.ellipse is not None:
            result["ellipse"] = self._ellipse(fisher)
        _print_fisher(result)
        write_outputs({self.json: lambda path: write_json(result, path)}, self.overwrite)

    def _ellipse(self, fisher: "LabelledFisher") -> dict[str, Any]:
        from crlb.fisher.algebra import ellipse

        assert self.ellipse is not None
        return ellipse(fisher, self.ellipse, self.probability)._asdict()


def _describe(fisher: "LabelledFisher") -> dict[str, Any]:
    """Everything that is shown of a Fisher matrix, as plain JSON values."""
    from crlb.fisher import algebra

    conditional, marginal = algebra.conditional_bounds(fisher), algebra.marginal_bounds(fisher)
    return {
        "label_names": list(fisher.label_names),
        "conditional_bound": conditional,
        "marginal_bound": marginal,
        "schur_decay": {name: (conditional[name] / marginal[name]) ** 2 for name in fisher.label_names},
        "correlation": algebra.correlation_matrix(fisher).tolist(),
        "condition_number": algebra.condition_number(fisher),
        "inversion_residual": algebra.inversion_residual(fisher),
        "fisher": fisher.matrix.tolist(),
    }


def _print_fisher(result: Mapping[str, Any]) -> None:
    from rich import box
    from rich.table import Table

    names = result["label_names"]
    title = f"1-sigma bounds at mag {result['mag']:g}, SNR {result['snr']:.1f} per pixel"
    table = Table(box=box.SIMPLE, title=title)
    shown = [name for name in names if name in LABELS]
    for head in ("label", "unit", "others known", "all unknown", "Schur decay", *shown):
        table.add_column(head, justify="left" if head == "label" else "right", no_wrap=head in names)
    for name, row in zip(names, result["correlation"], strict=True):
        numbers = [result[key][name] for key in ("conditional_bound", "marginal_bound", "schur_decay")]
        table.add_row(
            name, unit(name), *(f"{x:.4g}" for x in numbers), *(f"{x:+.3f}" for x in row[: len(shown)])
        )
    screen = console()
    screen.print(table)
    screen.print(
        f"Right: correlations of the estimates. Condition number {result['condition_number']:.3g} (unit "
        f"diagonal), inversion residual {result['inversion_residual']:.1e}. For unbiased estimators."
    )
    if "ellipse" in result:
        found = result["ellipse"]
        screen.print(
            f"Ellipse of {' and '.join(found['label_names'])} ({found['probability']:.2%}): semi-axes "
            f"{found['semi_major']:.4g} and {found['semi_minor']:.4g}, at {found['angle_deg']:.2f} degrees."
        )


@dataclass(frozen=True, kw_only=True)
class Spectrum(StarOptions):
    """Writes one star's model spectrum with its noise: wave, flux, error and one noisy draw.

    To copy and paste:
      crlb spectrum --T_eff 4800 --log_g 2.5 --M_H -0.5 --mag 21.5 --out star.csv
      crlb spectrum --T_eff 4800 --log_g 2.5 --M_H -0.5 --mag 20 --seed 7 --out star.h5
    """

    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """Table to create: .csv, .ecsv (astropy's text table) or .h5 (the pfsspec layout)."""
    seed: int = 0
    """Seed of the noise."""
    overwrite: bool = False
    """Allow the file to be replaced."""

    def __call__(self) -> None:
        check_outputs(self.out, overwrite=self.overwrite)
        if self.out.suffix not in TABLES:
            raise UsageError(f"--out must end in {', '.join(TABLES)}, found {self.out}")
        import jax
        import numpy as np

        model = self.load()
        star = self.star(model.label_names)
        noisy, error = model.draw(jax.random.key(self.seed), star, self.mag)
        columns = {"wave": model.wave, "flux": model.flux(star), "error": error, "noisy": noisy}
        arrays = {name: np.asarray(column, np.float64) for name, column in columns.items()}
        labels = dict(zip(model.label_names, map(float, star), strict=True))
        self._write(arrays, labels, float(model.snr(star, self.mag)))

    def _write(self, arrays: "dict[str, np.ndarray]", labels: dict[str, float], ratio: float) -> None:
        if self.out.suffix == ".h5":
            _write_hdf5(self.out, arrays, labels, self.mag, ratio, self.overwrite)
            print(f"wrote {self.out}")
        else:
            rows = [
                {name: f"{array[i]:.8g}" for name, array in arrays.items()}
                for i in range(len(arrays["wave"]))
            ]
            about = {"mag": self.mag, "snr": ratio, "seed": self.seed} | labels
            writer = (
                write_csv if self.out.suffix == ".csv" else lambda rows, path: _write_ecsv(rows, about, path)
            )
            write_outputs({self.out: lambda path: writer(rows, path)}, self.overwrite)
        console().print(f"{len(arrays['wave'])} pixels, SNR {ratio:.2f} per pixel (median of flux/error)")


def _write_hdf5(
    out: Path,
    arrays: "dict[str, np.ndarray]",
    labels: dict[str, float],
    mag: float,
    ratio: float,
    overwrite: bool,
) -> None:
    import numpy as np

    from crlb.files.spectra import Spectra, write_spectra

    one = {name: arrays[name][None].astype(np.float32) for name in ("flux", "error", "noisy")}
    columns = {name: np.array([value]) for name, value in labels.items()}
    spectra = Spectra(arrays["wave"], columns, mag=np.array([mag]), snr=np.array([ratio]), **one)
    write_spectra(out, spectra, overwrite)


def _write_ecsv(rows: list[dict[str, str]], about: Mapping[str, float], path: Path) -> None:
    """Enhanced CSV 1.0: the table under a header that names types and units; read by astropy.table."""
    units = {"wave": "Angstrom"}
    head = ["%ECSV 1.0", "---", "delimiter: ','", "datatype:"]
    head += [
        f"- {{name: {name}, {f'unit: {units[name]}, ' if name in units else ''}datatype: float64}}"
        for name in rows[0]
    ]
    head += [
        "meta: !!omap",
        *(f"- {name}: {value!r}" for name, value in about.items()),
        "schema: astropy-2.0",
    ]
    with path.open("w") as file:
        file.writelines(f"# {line}\n" for line in head)
    body = path.with_suffix(".body")
    write_csv(rows, body)
    with path.open("a", newline="") as file:
        file.write(body.read_text())
    body.unlink()
