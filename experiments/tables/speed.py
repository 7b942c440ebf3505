"""The block of measured speeds, from the benchmarks."""

from experiments.tables.results import Result, Results
from experiments.tables.text import days, fixed, paragraph, span, table

BENCHMARKS = ("exact_limit", "fisher", "emulator", "train_throughput", "input_pipeline", "simulate")
PUBLISHED_RATE = "0.913 spectra/s on 60 threads"  # of the published generator


def speed(results: Results) -> str:
    """Times and ratios, each beside what was aimed at."""
    found = {name: results.benchmark(name) for name in BENCHMARKS}
    words = paragraph(
        f"""Speed, as ratios in one run on two shared CPU cores ([benchmarks/results](benchmarks/results),
        {days(run.date for run in found.values())}; [docs/cost.png](docs/cost.png) shows how cost grows with
        nodes, pixels, labels and spectra); nothing was measured on a GPU:"""
    )
    rows = [
        _exact_limit(found["exact_limit"]),
        _fisher(found["fisher"]),
        *_emulator(found["emulator"]),
        _training(found["train_throughput"]),
        _input(found["input_pipeline"]),
        _simulate(found["simulate"]),
    ]
    times = found["emulator"].number("targets", "times_scipy")
    end = paragraph(
        f"""The factor of {times:g} is not reached: scipy's linear mode reads 32 nodes where a cubic in five
        labels needs 1024."""
    )
    return f"{words}\n\n{table(['what', 'measured', 'aim'], rows)}\n\n{end}"


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

    scipy = {
        name: fixed(run.number("times_scipy", name), 1)
        for name in ("cubic, batch 1", "linear, batch 64", "linear, batch 1")
    }
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
        [
            "the same against scipy's `RegularGridInterpolator`, float64, one core",
            f"cubic {scipy['cubic, batch 1']} × (one by one); linear {scipy['linear, batch 64']} × in "
            f"batches, {scipy['linear, batch 1']} × one by one",
            f"{run.number('targets', 'times_scipy'):g} ×",
        ],
    ]


def _training(run: Result) -> list[str]:
    dropout, plain = (
        fixed(run.number(kind, "times_faster", "than PyTorch eager"), 2)
        for kind in ("with dropout", "without dropout")
    )
    return [
        f"a training step of `paper` (float32, batch {run.number('batch_size'):g}, with dropout) against "
        "PyTorch with HuggingFace's ViT",
        f"{dropout} × as fast; {plain} × without dropout (`benchmarks/train_throughput.py`, extra `torch`)",
        "1.0 ×",
    ]


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
