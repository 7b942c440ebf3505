"""`crlb plan --population`: which share of the stars of a table reaches what is wanted."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from crlb.cli.brightness import BRIGHT
from crlb.cli.checks import check_positive
from crlb.cli.output import picture, write_csv, write_outputs
from crlb.cli.prior import normals
from crlb.errors import UsageError
from crlb.files.progress import progress
from crlb.files.records import write_json
from crlb.labels import option_of

if TYPE_CHECKING:
    from crlb.cli.plan import PlanOptions
    from crlb.grids.emulator import Emulator
    from crlb.observation.forward_model import ForwardModel
    from crlb.observation.nuisance import NuisanceModel
    from crlb.planning.result import ExposuresRow
    from crlb.planning.share import PlannedStars, SharePlan
    from crlb.readers.star_table import StarTable

MOST_LINES = 12  # of a picture, a colour for each magnitude


def check_without(options: "PlanOptions", names: Sequence[str], why: str) -> None:
    """Refuses options that have no effect on stars of a table.

    Args:
        options: of the command.
        names: fields that must be as by default.
        why: what the stars are, as the end of "--population, ...".

    Raises:
        UsageError: naming the first.
    """
    defaults = {one.name: one.default for one in fields(options)}
    for name in names:
        if getattr(options, name) != defaults[name]:
            raise UsageError(
                f"{option_of(name)} has no effect with --population, {why}; leave one of the two out"
            )


def check_of_stars(options: "PlanOptions") -> None:
    """Refuses what is of one star, and what stars of a table cannot have.

    Raises:
        UsageError: naming the option.
    """
    check_without(options, ("bayes", "n_bayes"), "whose stars have bounds")
    check_without(options, ("plot_labels",), "whose stars have labels of their own")
    check_positive(n_stars=options.n_stars)
    if len(names := options.instruments()) > 1:
        raise UsageError(f"--instrument: one is taken with --population, found {' '.join(names)}")
    if options.hours:
        check_without(options, ("n_exp",), "where --hours are given")
    if options.plot is not None and len(options.mag) > MOST_LINES:
        raise UsageError(f"--plot shows {MOST_LINES} magnitudes at most, found {len(options.mag)}")


def check_priors_of_stars(options: "PlanOptions") -> None:
    """Refuses priors of labels.

    Raises:
        UsageError: naming the first.
    """
    for name in normals(options.prior_sigma):
        if name in options.free_labels():
            raise UsageError(
                f"--prior-sigma {name}: its mean is the {name} of one star; with --population leave it out, "
                "or hold the label with --fix"
            )


def plan_stars(options: "PlanOptions") -> None:
    """Computes, prints and writes what was asked of the stars of a table."""
    result = planned(options)
    print(result.table())
    write_outputs(
        {
            options.json: lambda path: write_json(result, path),
            options.csv: lambda path: write_csv(result.as_rows(), path),
            options.plot: picture(result.plot, options.column),
        },
        options.overwrite,
    )


def planned(options: "PlanOptions") -> "SharePlan":
    """Returns what was asked of the stars of a table.

    Raises:
        DataError, MissingInputError: as `WithTable.table` and `WithTable.stars`.
        UsageError: neither the command nor the table says how bright the stars are.
    """
    from crlb.planning.share import SharePlan, needed_row, reached_row

    table = options.table()
    if not options.mag and "mag" not in table.columns:
        raise UsageError(f"--mag is needed: --population {table.path} has no column mag")
    model, nuisances = options.with_unknowns()
    stars = _chosen(options, table, model.emulator)
    want, mags = options.wanted(), options.mag if stars.mag is None else (None,)
    found = zip(*_needs(options, model, nuisances, stars), strict=True)
    each = [mag for mag in mags for _ in want]
    needed = tuple(
        needed_row(rows, mag, stars.weight, options.exptime_s) for rows, mag in zip(found, each, strict=True)
    )
    reached = (
        reached_row(one, stars.weight, n_exp, hours) for one in needed for n_exp, hours in _times(options)
    )
    return SharePlan(options.exptime_s, tuple(reached), needed, stars, options.about())


def _times(options: "PlanOptions") -> list[tuple[int, float]]:
    """Numbers of exposures, and the hours that they were asked for by: --hours, else --n-exp."""
    from crlb.planning.time import SECONDS, whole_exposures

    own = options.n_exp, options.n_exp * options.exptime_s / SECONDS
    return [(whole_exposures(hours, options.exptime_s), hours) for hours in options.hours] or [own]


def _chosen(options: "PlanOptions", table: "StarTable", emulator: "Emulator") -> "PlannedStars":
    """The stars of the table within the grid, or --n-stars of them; stars without weight are none."""
    import numpy as np

    from crlb.bayes.population import within_box
    from crlb.planning.share import PlannedStars

    population, dropped = options.stars(table, emulator)
    names = population.label_names
    labels = np.stack([table.columns[name] for name in names], axis=1)
    row = np.flatnonzero(within_box(labels, emulator.low, emulator.high)) + 1
    weight = np.asarray(population.weight)
    taken = heavy = np.flatnonzero(weight > 0)
    if len(heavy) > options.n_stars:
        random = np.random.default_rng(options.seed)
        taken = np.sort(random.choice(heavy, options.n_stars, replace=False))
    return PlannedStars(
        file=str(table.path),
        sha256=table.sha256,
        of=len(heavy),
        dropped=dropped,
        row=row[taken],
        label_names=names,
        labels=np.asarray(population.labels)[taken],
        weight=weight[taken] / weight[taken].sum(),
        mag=None if options.mag or population.mag is None else np.asarray(population.mag)[taken],
        seed=options.seed if len(taken) < len(heavy) else None,
    )


def _needs(
    options: "PlanOptions", model: "ForwardModel", nuisances: "NuisanceModel", stars: "PlannedStars"
) -> "Iterator[tuple[ExposuresRow, ...]]":
    """What every star needs, a row for each magnitude and label, by the bounds of one star after another."""
    from crlb.planning.plan import exposures_rows
    from crlb.planning.planned import BoundedStar, lasting
    from crlb.planning.variance import each_in_any_exposures

    (name,), bounds, conditions = options.instruments(), options.bounds(model), options.found_conditions()
    with progress("exposures of the stars", stars.n) as advance:
        for i, seen in enumerate(each_in_any_exposures(model, nuisances, stars.labels, BRIGHT)):
            limits = lasting(model, seen, conditions)
            one = BoundedStar(name, seen, 0.0, bounds, limits)
            mags = options.mag if stars.mag is None else (float(stars.mag[i]),)
            yield exposures_rows(one, mags, options.wanted(), options.exptime_s)
            advance(1)
