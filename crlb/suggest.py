"""What was meant by a word that is not known: the one place that every "did you mean" comes from."""

import difflib
from collections.abc import Iterable


def meant(word: object, known: Iterable[str]) -> str:
    """Returns "; did you mean log_g?" for the nearest known word; nothing where none is near.

    Args:
        word: that was found; capitals do not count.
        known: words that may stand there.
    """
    spelled = {name.lower(): name for name in known}
    near = difflib.get_close_matches(str(word).lower(), spelled, n=1)
    return f"; did you mean {spelled[near[0]]}?" if near else ""
