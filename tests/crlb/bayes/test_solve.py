"""Templates: all of them for stars that they may locate, the first block for others."""

import numpy as np

from crlb.bayes.solve import TEMPLATE_BLOCKS, _at_templates


class Normal:
    """ln L of stars whose spectrum is their label, seen with an error of their own."""

    prior = None  # not asked for, as what follows

    def at_templates(self, unit, stars):
        best, error = stars
        return -0.5 * ((unit[None, :, 0] - best[:, None]) / error[:, None]) ** 2

    at_points = newton = at_templates


def test_only_stars_that_the_first_templates_hardly_tell_get_all_of_them():
    unit = (np.arange(256.0)[:, None] * 0.618034) % 1.0
    sharp, broad = 1e-3, 0.3
    stars = (np.array([0.5, 0.4, 0.6]), np.array([sharp, broad, broad]))
    found = _at_templates(Normal(), unit, stars, needed=64.0)
    whole = Normal().at_templates(unit, stars)
    np.testing.assert_array_equal(found[1:], whole[1:])
    first = len(unit) // TEMPLATE_BLOCKS
    np.testing.assert_array_equal(found[0, :first], whole[0, :first])
    assert (found[0, first:] == -np.inf).all()
    none = _at_templates(Normal(), unit, stars, needed=np.inf)
    assert (none[:, first:] == -np.inf).all()
