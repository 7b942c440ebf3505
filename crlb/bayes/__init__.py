"""Bounds under a prior, the exact posterior of a star, and the limit R2_Bayes that follows from it."""
