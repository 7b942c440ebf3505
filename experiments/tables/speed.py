"""The block of measured speeds, from the benchmarks."""

from experiments.tables.results import Result, Results
from experiments.tables.text import days, fixed, paragraph, span, table

BENCHMARKS = (
    "exact_limit",
    "fisher",
    "emulator",
    "emulator_peers",
    "train_throughput",
    "matrix_products",
    "input_pipeline",
    "simulate",
)
PUBLISHED_RATE = "0.913 spectra/s on 60 threads"  # of the published generator


def speed(results: Results) -> str:
    """Times and ratios, each beside what was aimed at."""
    found = {name: results.benchmark(name) for name in BENCHMARKS}
    words = paragraph(
        f"""Speed, as ratios in one run on two shared CPU cores ([benchmarks/results](benchmarks/results),
        {days(run.date for run in found.values())}); nothing was measured on a GPU:"""
    )
    rows = [
        _exact_limit(found["exact_limit"]),
        _fisher(found["fisher"]),
        *_emulator(found["emulator"]),
        _peers(found["emulator_peers"]),
        _training(found["train_throughput"]),
        _input(found["input_pipeline"]),
        _simulate(found["simulate"]),
    ]
    told = [_order(found["emulator_peers"]), _against_torch(found["matrix_products"])]
    return "\n\n".join([words, table(["what", "measured", "aim"], rows), *told])


def main_job(results: Results) -> str:
    """What `make figure` takes from a fresh clone, beside the speed of that machine."""
    found = results.file("docs/figure_time.json")
    rule, where = found.at("yardstick"), found.at("machine")
    each = " and ".join(
        f"{fixed(found.number('studies', name, 'seconds'), 0)} s for `outputs/{name}`"
        for name in found.at("studies").names()
    )
    side, day = f"{rule.number('side'):.0f}", where.text("date")[:10]
    return paragraph(
        f"""From a fresh clone that takes {fixed(found.number("seconds") / 60, 1)} minutes on
        {fixed(where.number("cores"), 0)} cores ({where.text("processor")}) where numpy multiplies two
        {side} × {side} float64 matrices in {fixed(rule.number("seconds"), 2)} s:
        {fixed(found.number("before"), 0)} s for the installation, {each}
        ([docs/figure_time.json](docs/figure_time.json), {day}). The command writes the same of your
        machine into `outputs/figure_time.json`."""
    )


def _exact_limit(run: Result) -> list[str]:
    models = [row.number("forward_models_per_star") for row in run.rows("rows")]
    return [
        "R²_Bayes, 2000 stars at each of six magnitudes",
        f"{fixed(run.number('seconds_for_2000_at_six'), 0)} s, about {_hundreds(sum(models) / len(models))} "
        "forward models per star",
        f"{run.number('target_seconds'):g} s",
    ]


def _fisher(run: Result) -> list[str]:
    return [
        f"{run.number('stars'):,} five-label stars at six magnitudes: Jacobian, Fisher matrix, bound",
        f"{fixed(run.number('seconds_here', 'fisher_field and bound'), 0)} s, "
        f"{fixed(run.number('peak_memory_gb'), 1)} GB; {fixed(run.number('times_numpy'), 0)} × a "
        "finite-difference numpy version",
        f"{run.number('targets', 'seconds'):g} s, {run.number('targets', 'peak_memory_gb'):g} GB; "
        f"{run.number('targets', 'times_numpy'):g} ×",
    ]


def _emulator(run: Result) -> list[list[str]]:
    made_up = run.at("made up, 5 labels, 10 x 9 x 14 x 4 x 4 nodes, rank 200")

    def share(kind: str, batch: int) -> str:
        return fixed(made_up.number(f"{kind}, batch {batch}", "share_of_slower_limit"), 2)

    def times(kind: str) -> str:
        return _hundreds(made_up.number(f"{kind}, batch 64", "times_published_rate_of_60_threads"))

    return [
        [
            "emulator, five labels, in batches, one core: share of its slower limit (the bare basis product)",
            f"{share('float32', 64)} (float32), {share('float64', 64)} (float64); one by one "
            f"{share('float32', 1)}, {share('float64', 1)}",
            fixed(run.number("targets", "share_of_slower_limit"), 2),
        ],
        [
            f"the same against the published generator ({PUBLISHED_RATE})",
            f"{times('float64')} × (float64), {times('float32')} × (float32), one core",
            "",
        ],
    ]


def _peers(run: Result) -> list[str]:
    flux = "B-splines of the flux"
    return [
        f"the same against scipy on {run.text('nodes').replace('x', '×')} nodes, float64, one core",
        f"its cubic B-splines, the same order: {_batch(run, flux)} in batches, {_single(run, flux)} one by "
        f"one; its linear interpolation: {_batch(run, 'linear')} and {_single(run, 'linear')}",
        f"{run.number('target'):g} ×",
    ]


def _batch(run: Result, name: str) -> str:
    """A ratio in batches with its quartiles."""
    low, high = (fixed(run.number("times", f"{name}, batch 64, quartiles", end), 1) for end in (0, 1))
    return f"{fixed(run.number('times', f'{name}, batch 64'), 1)} × ({low}-{high})"


def _single(run: Result, name: str) -> str:
    """A ratio of single spectra in the fastest rounds."""
    return f"{fixed(run.number('times', f'{name}, batch 1, fastest'), 1)} ×"


def _order(run: Result) -> str:
    """What the aim was set for, and what it is at equal order."""
    name = "B-splines of the basis"
    batch, one = (fixed(run.number("times", f"{name}, batch {kind}"), 2) for kind in ("64", "1, fastest"))
    return paragraph(
        f"""The factor of {run.number("target"):g} is not reached. scipy's linear mode reads 32 nodes where a
        cubic in five labels needs 1024. Its cubic B-splines read as many, of 4096 numbers each: in the
        fastest rounds they take {_single(run, "B-splines of the flux")} the emulator's time one by one.
        The gain is that of the basis alone: scipy's B-splines of the same 200 coefficients, multiplied by
        the basis afterwards, take {batch} of the emulator's time in batches and {one} one by one (fastest
        rounds)."""
    )


def _training(run: Result) -> list[str]:
    dropout, fastest, plain = (
        fixed(run.number(kind, which, "than PyTorch eager"), 2)
        for kind, which in (
            ("with dropout", "times_faster"),
            ("with dropout", "times_faster_in_fastest_rounds"),
            ("without dropout", "times_faster"),
        )
    )
    return [
        f"a training step of `paper` (float32, batch {run.number('batch_size'):g}, with dropout) against "
        "PyTorch with HuggingFace's ViT",
        f"{dropout} × as fast ({fastest} × in the fastest rounds); {plain} × without dropout, "
        f"{run.text('processor')} (`benchmarks/train_throughput.py`, extra `torch`)",
        "1.0 ×",
    ]


def _against_torch(run: Result) -> str:
    """What XLA loses against PyTorch in a step, and the most that other libraries could bring."""
    ratios = [piece.number("XLA over PyTorch", 0) for piece in run.rows("pieces")]
    low, high = (fixed(end(ratios[:-1]), 2) for end in (min, max))
    step = run.at("step_without_dropout")
    ours, theirs, bound = (
        fixed(step.number(name), 2)
        for name in ("share_of_our_step", "share_of_their_step", "times_faster_with_pieces_as_PyTorch")
    )
    return paragraph(
        f"""`paper` on two cores is slower than PyTorch for two reasons (`benchmarks/matrix_products.py`,
        {run.text("processor")}, nothing else running). Attention with its gradients takes XLA
        {fixed(ratios[-1], 1)} × the time of PyTorch, which has it in one piece; the products of the dense
        layers take {low} to {high} × oneDNN's. Both together are {ours} of our step and {theirs} of theirs.
        With all of them as fast as PyTorch's, a step without dropout would be {bound} × as fast instead of
        {fixed(step.number("times_faster", 0), 2)} ×: that is the most that other libraries for them could
        bring here."""
    )


def _input(run: Result) -> list[str]:
    pairs = {
        name: ", ".join(
            fixed(run.number(name, "times_constant", kind), 2) for kind in ("on the fly", "resident")
        )
        for name in ("tiny", "paper")
    }
    return [
        "a step on spectra drawn on the fly, or resident, over one on a constant batch",
        f"`tiny` {pairs['tiny']}; `paper` {pairs['paper']} (`benchmarks/input_pipeline.py`)",
        fixed(run.number("target"), 2),
    ]


def _simulate(run: Result) -> list[str]:
    def per_second(arrays: str, workers: int) -> str:
        return _hundreds(run.number("sets", f"{arrays}, {workers} worker(s)", "spectra_per_s"))

    later = [
        run.number("sets", f"{arrays}, 2 worker(s)", "seconds_in_all")
        - run.number("sets", f"{arrays}, 1 worker(s)", "seconds_in_all")
        for arrays in ("flux and error", "flux")
    ]
    both, flux = "flux and error", "flux"
    return [
        f"`specvit simulate --shards`, spectra/s with the write and its checksum, two shared cores, "
        f"{run.number('spectra'):,} spectra (`benchmarks/simulate.py`)",
        f"one process {per_second(both, 1)} with flux and error, {per_second(flux, 1)} with flux only; two "
        f"{per_second(both, 2)} and {per_second(flux, 2)} once they have started, so that "
        f"{run.number('spectra'):,} spectra take two {span(later, 0)} s more than one",
        f"{run.number('targets', 'spectra_per_s on 2 cores'):,}",
    ]


def _hundreds(number: float) -> str:
    """A number to its hundreds."""
    return f"{round(number, -2):,.0f}"
