"""`python -m specvit_jax.cli` is the console script `specvit`."""

from specvit_jax.cli import main

main()
