"""Where batches of spectra come from: the emulator, or files."""
