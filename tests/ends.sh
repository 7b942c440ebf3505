#!/bin/sh
# Both ends of every range of pyproject.toml: the wheel and the sdist are built, the wheel is installed into
# new environments outside of the tree with the oldest direct dependencies that its ranges allow and with the
# newest that the index has, and a user's first commands run there. `make ends`; needs uv, which alone resolves
# to the oldest. Some minutes and 1.5 GB of disk for each environment.
#
#   tests/ends.sh [PYTHON ...]     default: python3.11 and python3.13, those that are found
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

pythons="$*"
if [ -z "$pythons" ]; then
    for name in python3.11 python3.13; do
        if uv python find "$name" >/dev/null 2>&1; then pythons="$pythons $name"; else echo "skipped: no $name here"; fi
    done
fi

uv build --quiet --out-dir "$place/dist" "$root"
wheel=$(ls "$place"/dist/*.whl)
uv build --quiet --wheel --out-dir "$place/again" "$place"/dist/*.tar.gz # the sdist holds all that the wheel needs
python3 - "$wheel" "$place"/again/*.whl <<'EOF'
import sys, zipfile
first, second = (set(zipfile.ZipFile(path).namelist()) for path in sys.argv[1:])
assert first == second, first ^ second
assert {"experiments/r2_vs_snr/experiment.py", "experiments/results/accuracy/posterior.npz"} <= first
EOF

pins() { grep -v '#' "$1"; }

for python in $pythons; do
    for end in lowest-direct highest; do
        echo "== $python, $end"
        env="$place/$python-$end"
        uv venv --quiet --python "$python" "$env"
        # Of a wheel only the wheel itself would be direct: the versions are chosen from pyproject.toml.
        uv pip compile --quiet --only-binary :all: --resolution "$end" --python "$env/bin/python" \
            --output-file "$env.txt" "$root/pyproject.toml" >/dev/null # a file that is there would be kept to
        uv pip install --quiet --only-binary :all: --python "$env/bin/python" -r "$env.txt"
        uv pip install --quiet --no-deps --python "$env/bin/python" "$wheel"
        (cd "$place" && "$env/bin/python" "$root/tests/ends.py")
        rm -rf "$env"
    done
    if [ "$(pins "$place/$python-lowest-direct.txt")" = "$(pins "$place/$python-highest.txt")" ]; then
        echo "both ends of $python are the same versions" >&2
        exit 1
    fi
done
