"""The Fisher matrix, the Cramer-Rao bound, and where in the spectrum the information sits."""
