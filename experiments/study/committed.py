"""Earlier results that experiments read: those of the tree, or those that came with the installed package."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def committed(*parts: str) -> Path:
    """Where a file or folder of the committed results lies: in the package, if it was installed with it."""
    inside = PACKAGE / "results"
    return (inside if inside.is_dir() else PACKAGE.parent / "results").joinpath(*parts)
