"""The baselines there are: the name of each on the command line, its class, and how one is made.

The only list of them: `python -m experiments.baselines` offers these names, stored files hold these classes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from experiments.baselines.boosting import PUBLISHED, TUNED, LightGBM, Settings, import_lightgbm
from experiments.baselines.components import PLS, PCARidge
from experiments.baselines.forward import Forward
from experiments.baselines.networks import CNN, MLP, Network
from experiments.baselines.posterior_mean import PosteriorMean
from experiments.baselines.protocol import Baseline
from experiments.baselines.ridge import Ridge
from experiments.baselines.template_fit import TemplateFit
from specvit_jax import Config


@dataclass(frozen=True)
class Wanted:
    """What a baseline that is to be made can be told.

    Args:
        forward: grid, noise and labels, for methods that know the forward model.
        labels: to be predicted, for networks.
        max_trees: of every label, for LightGBM.
        threads: that grow trees; 0: one per core.
        steps: of training, for networks.
    """

    forward: Forward
    labels: tuple[str, ...]
    max_trees: int = PUBLISHED.max_trees
    threads: int = PUBLISHED.threads
    steps: int = MLP.train.steps


class Entry(NamedTuple):
    """A baseline: its class, and what makes one, not yet fitted."""

    kind: type[Baseline]
    make: Callable[[Wanted], Baseline]


def trees(settings: Settings, wanted: Wanted) -> LightGBM:
    """LightGBM with some settings, its trees and threads as wanted."""
    import_lightgbm()
    return LightGBM(replace(settings, max_trees=wanted.max_trees, threads=wanted.threads))


def network(config: Config, wanted: Wanted) -> Network:
    """A network with the labels and steps that are wanted."""
    model = replace(config.model, label_names=wanted.labels)
    return Network(replace(config, model=model, train=replace(config.train, steps=wanted.steps)))


BASELINES = {
    "ridge": Entry(Ridge, lambda wanted: Ridge()),
    "pca_ridge": Entry(PCARidge, lambda wanted: PCARidge()),
    "pls": Entry(PLS, lambda wanted: PLS()),
    "lightgbm": Entry(LightGBM, partial(trees, TUNED)),
    "lightgbm_published": Entry(LightGBM, partial(trees, PUBLISHED)),
    "mlp": Entry(Network, partial(network, MLP)),
    "cnn": Entry(Network, partial(network, CNN)),
    "template_fit": Entry(TemplateFit, lambda wanted: TemplateFit(wanted.forward)),
    "posterior_mean": Entry(PosteriorMean, lambda wanted: PosteriorMean(wanted.forward)),
}
KINDS = {entry.kind.__name__: entry.kind for entry in BASELINES.values()}
