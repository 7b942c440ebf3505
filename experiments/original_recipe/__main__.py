"""`python -m experiments.original_recipe`."""

from experiments.original_recipe.experiment import STUDY
from experiments.study.running import enter

enter(STUDY)
