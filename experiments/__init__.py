"""Consumers of crlb and specvit_jax: figures, tables and baselines."""
