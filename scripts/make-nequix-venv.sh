#!/usr/bin/env bash
# Makes the environment DIR in which pet-engine evaluates Nequix (docs/engines.md), with its weights for torch.
#   make-nequix-venv.sh WEIGHTS.nqx [DIR]      DIR is .venv-nequix if it is not given
# Nequix asks for CUDA and for what only a training needs; here it gets what an evaluation on a CPU needs.
set -euo pipefail
weights=$(realpath "$1")
cd "$(dirname "$0")/.."
venv=$(realpath -m "${2:-.venv-nequix}")
scripts/make-venv.sh "$venv"
"$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --constraint requirements.txt \
    ase-db-backends e3nn e3nn-jax equinox jax jraph matscipy optax torch-geometric
"$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --no-deps nequix==0.4.5
cp examples/nequix_model.py "$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
"$venv/bin/python" examples/nequix_model.py convert "$weights" "$venv/nequix.pt" > "$venv/nequix.json"
echo "aiida-pet: $venv has Nequix; its weights are $venv/nequix.pt"
