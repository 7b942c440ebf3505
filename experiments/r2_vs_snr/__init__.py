"""The R2-SNR figure: what log g a spectrum can tell, and what every method reads from it."""
