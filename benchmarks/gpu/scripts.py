"""Other benchmarks, run as they are; their result is read back."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1]
LIMIT_S = 500  # no piece may take longer


def run(name: str, toy: bool) -> dict[str, Any]:
    """The result of benchmarks/NAME.py; a toy is only asked whether it is there."""
    script = FOLDER / f"{name}.py"
    if toy:
        return {"there": script.is_file()}
    subprocess.run([sys.executable, str(script)], check=True, timeout=LIMIT_S)
    found: dict[str, Any] = json.loads(Path(f"outputs/benchmarks/{name}.json").read_text())
    return found
