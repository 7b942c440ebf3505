"""One file per survey: how it is recognised, and its spectra as `crlb.readers.raw.Raw`."""
