"""`python -m experiments.original_recipe`."""

from experiments.study.program import enter

enter("original_recipe")
