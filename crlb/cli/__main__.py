"""`python -m crlb.cli` is the console script."""

from crlb.cli.command import main

main()
