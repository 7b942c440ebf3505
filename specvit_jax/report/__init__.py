"""One HTML file of what was trained and measured: `write_report` gathers it, a page shows it."""

from specvit_jax.report.page import write_report

__all__ = ["write_report"]
