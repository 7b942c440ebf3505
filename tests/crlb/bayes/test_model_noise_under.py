"""Files of spectra under a noise model and conditions: velocity, chi2 with sky lines, names of the labels."""

import jax
import numpy as np

from crlb.bayes.exact_limit import simulate
from crlb.bayes.model_noise import Fluxes, label_under_model
from crlb.bayes.solve import Inference
from crlb.bayes.unknowns import prior_under
from crlb.observation.conditions import Conditions
from tests.crlb.bayes.conditions_toy import toy_model

CONDITIONS = Conditions(
    scale=0.05, continuum=1, continuum_sigma=0.1, rv_sigma_kms=30.0, lost=0.1, lost_block=4, sky_left=0.3
)


def test_velocity_is_beside_the_labels_and_chi2_counts_the_sky_once():
    model = toy_model(CONDITIONS)
    prior = prior_under(CONDITIONS, model)
    drawn = simulate(jax.random.key(2), 12, 19.0, model, prior, CONDITIONS)
    found = label_under_model(
        Fluxes(drawn.flux.astype(float), drawn.usable, drawn.mag), model, prior, key=jax.random.key(0),
        inference=Inference(CONDITIONS, n_templates=1024),
    )  # fmt: skip
    assert all(one.label_names == ("log_g", "M_H") == tuple(one.label_names) for one in found)
    assert all(one.mean.shape == (2,) and one.quantiles.shape == (2, 3) for one in found)
    rv = drawn.labels[:, prior.label_names.index("rv_kms")]
    pull = [(one.rv_kms - true) / one.rv_sigma_kms for one, true in zip(found, rv, strict=True)]
    assert np.std(pull) < 2
    assert all(0 < one.rv_sigma_kms < 30 for one in found)
    ratio = np.array([one.chi2 / one.dof for one in found])
    assert abs(ratio.mean() - 1) < 4 * np.sqrt(2 / (found[0].dof * len(found)))
