"""The forward model of a stellar spectrum and the information it holds about its labels."""
