"""How long the trainings of a study will take, said before they start: from a few steps of every network."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from experiments.study.frame import S, Work
from experiments.study.training import slug, step_seconds
from specvit_jax import Config, train

STEPS = 12  # of a network, once it is compiled
LOGGED = 3  # steps of a stretch; the fastest counts


class Planned(NamedTuple):
    """Trainings to come: the network's name, the config of one of them, how many steps all have together."""

    name: str
    config: Config
    steps: int


def announce(work: Work[S], plan: Sequence[Planned]) -> float:
    """Prints how long the trainings of a study take, all starts together; returns it, in s.

    Networks of one name are trained for a few steps once; what is measured is kept as a part of the study.
    """
    first = {one.name: one.config for one in reversed(plan)}
    paces = {name: pace(work, name, first[name]) for name in dict.fromkeys(one.name for one in plan)}
    for name, seconds in paces.items():
        print(f"{work.study.name}: {name}, {1e3 * seconds:.0f} ms a step", flush=True)
    total = sum(one.steps * paces[one.name] for one in plan)
    print(f"{work.study.name}: all trainings take about {total / 60:.0f} min at this pace", flush=True)
    return total


def pace(work: Work[S], name: str, config: Config) -> float:
    """Time of one training step, s."""
    times = {"steps": STEPS, "log_every": LOGGED, "eval_every": STEPS, "checkpoint_every": STEPS}
    short = replace(config, train=replace(config.train, **times))  # type: ignore[arg-type]

    def compute() -> float:
        with TemporaryDirectory() as folder:
            train(short, work.simulator, Path(folder) / "run")
            return step_seconds(Path(folder) / "run", short)

    return work.part(f"pace-{slug(name)}", {"config": asdict(short)}, float, compute)
