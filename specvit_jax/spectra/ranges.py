"""Ranges of labels as a command line or a config names them."""

from crlb.errors import UsageError


def parse_ranges(
    settings: tuple[str, ...], option: str = "range", form: str = "LOW:HIGH, say T_eff=4000:5000"
) -> dict[str, tuple[float, float]]:
    """``("T_eff=4000:5000",)`` as label -> (low, high), and ``("log_g=2:5",)`` as label -> (a, b).

    Raises:
        UsageError: not of that form, or a label named twice.
    """
    pairs: dict[str, tuple[float, float]] = {}
    for setting in settings:
        label, _, numbers = setting.partition("=")
        try:
            first, second = (float(text) for text in numbers.split(":"))
        except ValueError as error:
            raise UsageError(f"{option} must read LABEL={form}; found {setting}") from error
        if label in pairs:
            raise UsageError(f"{option} must name every label once; found {label} again")
        pairs[label] = (first, second)
    return pairs
