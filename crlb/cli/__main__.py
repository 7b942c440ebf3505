"""`python -m crlb.cli` is the console script `crlb`."""

from crlb.cli import main

main()
