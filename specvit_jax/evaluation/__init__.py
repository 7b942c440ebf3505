"""Labels from spectra, their scores, and where a network looks."""
