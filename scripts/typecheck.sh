#!/usr/bin/env bash
# mypy on what is built: checkers do not see that `workchains/` is the package `aiida_pet.workchains`.
set -euo pipefail
cd "$(dirname "$0")/.."
python="$PWD/${1:-.venv}/bin/python"
rm -rf build/lib build/typecheck
"$python" -c "from setuptools import setup; setup()" -q build_py --build-lib build/typecheck
cd build/typecheck
"$python" -m mypy --config-file ../../pyproject.toml --cache-dir ../../.mypy_cache -p aiida_pet
