"""Real spectra of known stars: labels from the posterior beside those of the literature.

Claim:    between the nodes of the grid the posterior finds log g of real stars better than the nearest node
          does; an error of the model of 1 % of the flux, set beforehand, keeps its sigma honest.
Command:  python -m experiments.observed [--preset smoke|cpu|gpu] [--data FOLDER]
Hardware: cpu: two CPU cores, an hour; gpu (more settings): half an hour more.
Expect:   cpu: neither. From 8400 to 8800 Å R2 of log g is 0.78 beside 0.82 of the nearest node where the
          resolving power is known, 0.3 for both where it is fitted; less from the whole arm. Median errors of
          2 to 7 sigma. Giants come out low until the cores of Ca II are left out.

Every spectrum that `labels.csv` of the data has labels for and whose mean labels lie in the box of the grid;
none of resolving power below 1000 (CALSPEC). All settings were decided before any of these stars was fitted:
flux scale, cubic continuum and velocity free; errors of the file where it has them, else from the scatter
around the model; an error of the model of 1 % of the flux, or fitted; [alpha/M] 0 or free, [C/M] 0; all
wavelengths of the grid, or 8400 to 8800 Å as in the first look with the nearest node, which is done again on
the same stars. Bands that the air absorbs are left out. The resolving power is the file's, or fitted where it
has none. Windows are left out one at a time to see which lines drive log g. `tiny` reads what covers its arm,
at the posterior's velocity: it knows the scale and the continuum of its training, and was not made for these.

The spectra are not the project's: pictures of some and numbers of all are kept, no data.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from crlb.errors import MissingInputError
from crlb.files.input import sha256
from experiments.observed import spectra_page
from experiments.observed.fits import BestFit, Models, as_seen, fitted, name_of, row_of, stored
from experiments.observed.made_up import made_up_stars
from experiments.observed.nearest import nearest_node
from experiments.observed.network import NETWORK, read_by_network
from experiments.observed.result import ObservedResult
from experiments.observed.rows import Fitted, Stack
from experiments.observed.scores import GIANT, all_scores, shifts
from experiments.observed.settings import (
    KNOWN,
    MAIN,
    MORE,
    SETTINGS,
    TRIPLET_KNOWN,
    TRIPLET_SOLAR,
    Setting,
)
from experiments.observed.stacks import stacks
from experiments.study.frame import Study, Work
from experiments.study.literature import (
    SETS,
    Excluded,
    Literature,
    Star,
    chosen,
    data_folder,
    label_noise,
    label_rows,
    literature,
    star_of,
)
from experiments.study.options import ObservedOptions, Options
from experiments.study.result import GridName
from experiments.study.stars import Sample

NEAREST = "nearest node, 8400-8800, a_M = 0"
NEAREST_KNOWN = f"{NEAREST}, R of the set"
VERSION = 1  # of what parts hold


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    n_test: int  # spectra, at most
    settings: tuple[Setting, ...] = SETTINGS
    target_ess: float = 256.0
    mag: tuple[float, float] = (0.0, 0.0)  # not that of a noise model


SIZES = {
    "smoke": Size(2, (MAIN, KNOWN), target_ess=32.0),
    "cpu": Size(1000),
    "gpu": Size(1000, (*SETTINGS, *MORE)),
}


def run(work: Work[Size]) -> ObservedResult:
    """What every setting says of every star, beside the literature."""
    models = Models(work.options.grid)
    folder = data_of(work.options)
    excluded: list[Excluded] = []
    if folder is None:
        stars = made_up_stars(models.alpha, work.size.n_test)
    else:
        used, excluded = chosen(literature(label_rows(folder)))
        stars = [star_of(folder, one) for one in some_of(used, work.size.n_test)]
    fits = list(all_fits(work, models, stars))
    entries = [star.literature for star in stars]
    noise = label_noise(entries)
    best = best_fits(work, stars)
    spectra_page.draw(stars, [fit for fit in fits if fit.setting == KNOWN.name], best, work.folder)
    return ObservedResult(
        stars=tuple(entries),
        excluded=tuple(excluded),
        label_noise=noise,
        fits=tuple(fits),
        scores=all_scores(entries, fits, noise),
        moved=shifts(entries, fits, KNOWN.name, [one.name for one in work.size.settings if one.tests_lines]),
        stacks=stacks_of(stars, best),
        main=MAIN.name,
        known=KNOWN.name,
        nearest=NEAREST,
        network=NETWORK,
        grid=GridName(title="embedded (own LTE synthesis, not BOSZ)", source=models.alpha.source),
        test=Sample(n=len(stars)),
    )


def some_of(entries: Sequence[Literature], n: int) -> Sequence[Literature]:
    """At most n of the entries, evenly spread."""
    if len(entries) <= n:
        return entries
    return [entries[int((i + 0.5) * len(entries) / n)] for i in range(n)]


def data_of(options: Options) -> Path | None:
    """The folder of the spectra; None: there is none, and stars are made up for the smoke size.

    Raises:
        MissingInputError: there is none, and real stars are asked for.
    """
    folder = data_folder(getattr(options, "data", None))
    if (folder / "labels.csv").is_file():
        return folder
    if options.preset == "smoke" and getattr(options, "data", None) is None:
        return None
    label_rows(folder)
    return folder


def unavailable(options: Options) -> str:
    """Why the experiment cannot run here; empty if it can."""
    try:
        data_of(options)
    except MissingInputError as error:
        return str(error)
    return ""


def all_fits(work: Work[Size], models: Models, stars: Sequence[Star]) -> list[Fitted]:
    """The main setting first, which gives velocities; nearest node and network; all others."""
    main = fits_of(work, models, stars, MAIN, {})
    rv_kms = {fit.file: fit.rv_kms for fit in main}
    found = [*main, *nearest_fits(work, models, stars), *network_fits(work, stars, rv_kms)]
    for setting in work.size.settings:
        if setting.name != MAIN.name:
            found += fits_of(work, models, concerned(stars, setting), setting, rv_kms)
            found += unchanged(stars, setting, found)
    return found


def concerned(stars: Sequence[Star], setting: Setting) -> list[Star]:
    """The stars for which a setting differs from others.

    A fitted error of the model changes nothing where the file has no errors, the resolving power of the set
    nothing where the file states one; lines are left out for stars of the library only.
    """
    if setting.tests_lines:
        return [star for star in stars if SETS[star.literature.set].library]
    return [
        star
        for star in stars
        if (star.observed.has_errors or not setting.fit_error)
        and (star.observed.resolving_power is None or not setting.known_power)
    ]


def unchanged(stars: Sequence[Star], setting: Setting, fits: Sequence[Fitted]) -> list[Fitted]:
    """The rows of stars whose resolving power is stated, as they are under the same setting without."""
    if not setting.known_power or setting.tests_lines:
        return []
    other = MAIN.name if setting.name == KNOWN.name else TRIPLET_SOLAR.name
    left = {star.literature.file for star in stars if star.observed.resolving_power is not None}
    return [replace(fit, setting=setting.name) for fit in fits if fit.setting == other and fit.file in left]


def by_set(stars: Sequence[Star]) -> dict[str, list[Star]]:
    """The stars of every set."""
    found: dict[str, list[Star]] = {}
    for star in stars:
        found.setdefault(star.literature.set, []).append(star)
    return found


def fits_of(
    work: Work[Size],
    models: Models,
    stars: Sequence[Star],
    setting: Setting,
    rv_kms: dict[str, float | None],
) -> list[Fitted]:
    """The posteriors of all stars under a setting, set by set, kept as parts."""
    keep = folder_of(work, setting) if setting.name in (MAIN.name, KNOWN.name) else None
    found: list[Fitted] = []
    for name, some in by_set(stars).items():
        seen = [as_seen(star, setting, rv_kms.get(star.literature.file)) for star in some]
        compute = partial(_fits, work, models, seen, setting, keep)
        settings = asdict(setting) | ({"power": SETS[name].power} if setting.known_power else {})
        if not setting.known_power:
            del settings["known_power"]
        asked = _asked(work, some) | {"setting": settings, "ess": work.size.target_ess}
        if setting.without:
            asked["rv_kms"] = [rv_kms.get(star.literature.file) for star in some]
        part = f"{setting.name}-{name}".replace(" ", "_").replace("/", "-")
        found += work.part(part, asked, tuple[Fitted, ...], compute)
    return found


def _fits(
    work: Work[Size], models: Models, stars: Sequence[Star], setting: Setting, keep: Path | None
) -> tuple[Fitted, ...]:
    print(f"{work.study.name}: {setting.name}, {len(stars)} of {stars[0].literature.set}", flush=True)
    each = fitted(stars, models, setting, target_ess=work.size.target_ess, keep=keep)
    return tuple(row_of(star, one, setting.name) for star, one in each)


def _asked(work: Work[Size], stars: Sequence[Star]) -> dict[str, object]:
    """What a part depends on: content of the files, how they are read."""
    folder = data_of(work.options)
    files = [star.literature.file for star in stars]
    sums = [] if folder is None else [sha256(folder / file) for file in files]
    how = repr(SETS[stars[0].literature.set].options)
    return {"version": VERSION, "stars": files, "spectra": sums, "read": how}


def nearest_fits(work: Work[Size], models: Models, stars: Sequence[Star]) -> list[Fitted]:
    """The first look again: the best node of the triplet's window, resolving power fitted and of the set."""
    found: list[Fitted] = []
    for setting, name in ((TRIPLET_SOLAR, NEAREST), (TRIPLET_KNOWN, NEAREST_KNOWN)):
        for which, some in by_set(stars).items():
            compute = partial(_nearest, work, models, some, setting, name)
            asked = _asked(work, some) | {"name": name, "power": SETS[which].power}
            found += work.part(f"{name.replace(' ', '_')}-{which}", asked, tuple[Fitted, ...], compute)
    return found


def _nearest(
    work: Work[Size], models: Models, stars: Sequence[Star], setting: Setting, name: str
) -> tuple[Fitted, ...]:
    print(f"{work.study.name}: {name}, {len(stars)} of {stars[0].literature.set}", flush=True)
    sight = models.sight(setting)
    return tuple(
        Fitted(
            setting=name,
            set=star.literature.set,
            file=star.literature.file,
            mean=nearest_node(as_seen(star, setting, None).observed, sight),
        )
        for star in stars
    )


def network_fits(
    work: Work[Size], stars: Sequence[Star], rv_kms: dict[str, float | None]
) -> tuple[Fitted, ...]:
    """What `tiny` says."""
    asked = _asked(work, stars) | {"rv_kms": list(rv_kms.values())}
    return work.part(NETWORK, asked, tuple[Fitted, ...], lambda: tuple(read_by_network(stars, rv_kms)))


def folder_of(work: Work[Size], setting: Setting) -> Path:
    """Where the best fits of a setting are kept."""
    return work.folder / "models" / ("fitted" if setting.name == MAIN.name else "known")


def best_fits(work: Work[Size], stars: Sequence[Star]) -> dict[str, BestFit]:
    """The best fit of every star with the resolving power of its set, by its file."""
    found = {}
    for star in stars:
        for setting in (KNOWN, MAIN):
            path = folder_of(work, setting) / f"{name_of(star)}.npz"
            if path.exists():
                found[star.literature.file] = stored(path)
                break
    return found


def stacks_of(stars: Sequence[Star], best: Mapping[str, BestFit]) -> tuple[Stack, ...]:
    """Residuals of giants and dwarfs of the library."""

    def belongs(one: Literature, giant: bool) -> bool:
        return SETS[one.set].library and (one.labels["log_g"] < GIANT) == giant

    def of(giant: bool) -> list[BestFit]:
        files = [star.literature.file for star in stars if belongs(star.literature, giant)]
        return [best[file] for file in files if file in best]

    return stacks({"giants": of(True), "dwarfs": of(False)})


STUDY = Study(
    "observed",
    __doc__,
    SIZES,
    run,
    ObservedResult,
    ObservedOptions,
    seeds={"points": 14},
    leaves=frozenset({"models", "spectra.png"}),
    unavailable=unavailable,
)
