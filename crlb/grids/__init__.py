"""Grids of model spectra: in memory, on disk, compressed, with holes, interpolated."""
