"""What makes the original's own recipe better with more spectra: steps, spectra, stopping, last weights?"""

from experiments.original_recipe.experiment import STUDY

__all__ = ["STUDY"]
