#!/usr/bin/env bash
# Makes the virtual environment DIR (default .venv) with the pinned requirements and this project, editable; brings
# one that is there up to date in place.
# Interpreter, first that is 3.12 or newer: $PYTHON; python3.12+ on the PATH; pyenv's; uv's.
#   make-venv.sh [DIR]      make it
#   make-venv.sh --find     only say which interpreter it would take
set -euo pipefail
cd "$(dirname "$0")/.."
oldest="(3, 12)"

usable() { "$1" -c "import sys, venv, ensurepip; sys.exit(sys.version_info < $oldest)" >/dev/null 2>&1; }

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        usable "$PYTHON" && { echo "$PYTHON (from \$PYTHON)"; return; }
        echo "PYTHON=$PYTHON is not a Python >= 3.12 with venv: set it to one, or unset it" >&2; return 1
    fi
    local candidate
    for candidate in python3.13 python3.12 python3.14 python3 python; do
        candidate=$(command -v "$candidate" 2>/dev/null) && usable "$candidate" && { echo "$candidate (on the PATH)"; return; }
    done
    for candidate in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[2-9]*/bin/python; do
        [ -x "$candidate" ] && usable "$candidate" && { echo "$candidate (pyenv)"; return; }
    done
    if command -v uv >/dev/null; then
        candidate=$(uv python find '>=3.12' 2>/dev/null || { uv python install -q 3.12 >&2 && uv python find 3.12; }) \
            && usable "$candidate" && { echo "$candidate (uv)"; return; }
    fi
    echo "no Python >= 3.12 found: tried \$PYTHON, the PATH, pyenv and uv. Install one and set PYTHON=/path/to/python" >&2
    return 1
}

found=$(find_python)
[ "${1:-}" = --find ] && { echo "$found"; exit; }
venv="${1:-.venv}"
python=${found%% (*}
echo "aiida-pet: setting up $venv with $("$python" -c 'import platform; print("Python", platform.python_version())') at $found"
"$venv/bin/python" -m pip --version >/dev/null 2>&1 && usable "$venv/bin/python" || { rm -rf "$venv"; "$python" -m venv "$venv"; }
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check "uv>=0.5"
# Compiled here and now: where PYTHONDONTWRITEBYTECODE is set, or the folder is read-only later, every start of an engine
# or a command would compile torch, sympy and AiiDA again, which doubles it.
"$venv/bin/uv" pip install --quiet --compile-bytecode --python "$venv/bin/python" -r requirements.txt
"$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --no-deps --editable .
sha256sum requirements.txt pyproject.toml | sha256sum > "$venv/made-from"
