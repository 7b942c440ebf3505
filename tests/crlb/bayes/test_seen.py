"""The likelihood of a faint star with fewer directions against the whole one."""

import jax
import jax.numpy as jnp
import numpy as np

from crlb.bayes.likelihood import Stars, make_likelihood
from crlb.bayes.seen import with_seen_directions
from crlb.observation.conditions import Conditions
from crlb.observation.forward_model import ForwardModel
from tests.crlb.bayes.test_posterior import NOISE, WAVE, box_prior, observed, star  # noqa: F401


def test_a_faint_star_needs_fewer_directions_and_a_bright_one_all(star, monkeypatch):  # noqa: F811
    monkeypatch.setattr("crlb.bayes.reduced.RANKS", tuple(range(1, 20)))
    unit = np.random.default_rng(0).uniform(0.1, 0.9, (1, 64, 2))
    with jax.enable_x64(True):
        whole = make_likelihood(ForwardModel(star, NOISE), box_prior(star), Conditions())
        assert with_seen_directions(whole, 10.0) is whole
        cut = with_seen_directions(whole, 23.0)
        assert len(cut.emulator.basis) < len(whole.emulator.basis)
        y = observed(star, np.array([[3.0, -0.5]]), 23.0)
        stars = Stars(y, np.ones((1, WAVE.size)), np.array([23.0]))
        exact, found = (np.asarray(like.at_points(jnp.asarray(unit), stars))[0] for like in (whole, cut))
    assert np.ptp(exact) > 1
    assert 0 < np.std(found - exact) < 0.03
