"""What a network says, by name: labels, or the probability that one of them lies above a value."""

import re

from crlb.labels import LABELS, unit_of

PROBABILITY = re.compile(r"P_(?P<label>.+)_above_(?P<value>.+)")
R2, SKILL = "val_r2", "val_skill"  # validation scores that choose the best weights


def output_names(label_names: tuple[str, ...], threshold: float | None) -> tuple[str, ...]:
    """The names of what is predicted, one for each output: nobody takes P_log_g_above_2.5 for log g."""
    if threshold is None:
        return label_names
    return tuple(f"P_{name}_above_{threshold:.10g}" for name in label_names)


def meaning_of(output: str) -> str:
    """What is predicted under a name, in words; empty where it is not known."""
    if found := PROBABILITY.fullmatch(output):
        value = " ".join(filter(None, (found["value"], unit_of(found["label"]))))
        return f"probability that {found['label']} lies above {value}"
    return LABELS[output].description if output in LABELS else ""


def score_name(threshold: float | None) -> str:
    """The validation score that chooses the best weights, the higher the better."""
    return R2 if threshold is None else SKILL
