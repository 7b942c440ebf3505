"""Observed spectra in the formats of their surveys, read with care."""
