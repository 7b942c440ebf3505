"""The palette of the figures as variables of the page's style, on light and on dark paper."""

from crlb.palette import BOUND, DATA, LIMIT, METHODS, MODEL, PUBLISHED, RAMP, on_dark, steps

ROLES = {
    "limit": LIMIT,
    "bound": BOUND,
    "published": PUBLISHED,
    "data": DATA,
    "model": MODEL,
    "heat": RAMP[2],
}
OTHERS = steps(6)[1:5]  # of networks without a colour of their own, and of labels
DARK = (
    "@media (prefers-color-scheme: dark) {{ :root:not([data-theme='light']) {{ {0} }} }}\n"
    ":root[data-theme='dark'] {{ {0} }}"
)


def colors() -> dict[str, str]:
    """Returns the colour of every variable: method-0 on in the order of `METHODS`, other-0 on, the roles."""
    methods = {f"method-{i}": color for i, color in enumerate(METHODS.values())}
    return methods | {f"other-{i}": color for i, color in enumerate(OTHERS)} | ROLES


def style() -> str:
    """Returns the variables as CSS, for light paper and for dark."""
    light = _variables(colors())
    dark = _variables({name: on_dark(color) for name, color in colors().items()})
    return f":root {{ {light} }}\n{DARK.format(dark)}"


def _variables(values: dict[str, str]) -> str:
    return " ".join(f"--{name}: {color};" for name, color in values.items())
