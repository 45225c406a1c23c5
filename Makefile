# The first call of any target makes .venv (see scripts/make-venv.sh); `make venv` again after pyproject.toml changed.
VENV ?= .venv
BIN := $(VENV)/bin
THREADS := $(OMP_NUM_THREADS)
# Two torch processes that spin on the same cores are many times slower than one: one thread unless asked otherwise.
export OMP_NUM_THREADS ?= 1

.PHONY: venv demo test docs lint bench gpu-check gpu-site faults clean

venv: $(VENV)/made-from

$(VENV)/made-from: pyproject.toml requirements.txt scripts/make-venv.sh
	@scripts/make-venv.sh $(VENV)

demo: venv
	@$(BIN)/python examples/demo.py

test: venv
	$(BIN)/python -m pytest $(PYTEST_ARGS)

# The site: build/docs/index.html. A warning, such as of a link that leads nowhere, fails it.
docs: venv
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs build/docs

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@scripts/typecheck.sh $(VENV)

# make bench NAME=overhead; each benchmark takes one thread or all cores, unless OMP_NUM_THREADS says otherwise
bench: venv
	@$(if $(THREADS),,env -u OMP_NUM_THREADS) $(BIN)/python -m benchmarks $(NAME)

# Compare the engine on a GPU with the CPU and measure it; make gpu-check GPU="--device cpu --quick" to rehearse
gpu-check: venv
	@$(BIN)/python -m benchmarks.gpu_check $(GPU)

# What gpu-check needs beside torch, for a machine without a network (docs/dev/gpu.md)
gpu-site: venv
	@$(BIN)/python scripts/gather_gpu_site.py build/gpu-site.zip

# Break campaigns over SLURM (as root, after scripts/install-services.sh); make faults FAULTS="--quick engine_killed"
faults: venv
	@$(BIN)/python -m benchmarks.faults $(FAULTS)

clean:
	rm -rf build .demo .pytest_cache .mypy_cache .ruff_cache
