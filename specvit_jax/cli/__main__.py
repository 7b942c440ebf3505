"""`python -m specvit_jax.cli` is `specvit`."""

from specvit_jax.cli.command import main

main()
