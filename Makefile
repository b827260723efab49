# Two commands on a fresh machine: `make run` and `make test`. Everything else is listed by `make help`.
PYTHON ?= python3
BIN := .venv/bin
UV := $(BIN)/uv
INSTALLED := .venv/.installed
MINISTACK := .venv-ministack/.installed

.PHONY: help install run test check bench docs lock fmt down clean

help: ## what there is
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1 - /'

install: $(INSTALLED) $(MINISTACK) ## create .venv and .venv-ministack from the lock files

run: install ## the main job: validate, train, gate, register, deploy, answer; ARGS="--rows 20000" adds options
	@$(BIN)/python -m pipelines.run $(ARGS)

test: install ## every test; ARGS="-k name" picks some
	@$(BIN)/python -m pytest $(ARGS)

check: install ## lint, format, types, architecture
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: install ## our numbers beside the peers', in one run
	@$(BIN)/python -m bench $(ARGS)

docs: install ## write docs/operations.md, the list of what the local SageMaker supports
	@{ printf '# Operations of the local SageMaker\n\nMade by `make docs` from `python -m local_sagemaker operations`.\n\n```\n'; $(BIN)/python -m local_sagemaker operations; printf '```\n'; } > docs/operations.md

fmt: install ## format and fix what can be fixed
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

down: ## stop the local SageMaker
	@$(BIN)/python -m local_sagemaker down

lock: install ## re-resolve requirements.in into requirements.lock (versions and hashes only)
	@$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements.in -o requirements.lock
	@$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header local_sagemaker/ministack.in -o local_sagemaker/ministack.lock

clean: ## remove both environments and everything built
	rm -rf .venv .venv-ministack build .local-sagemaker .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv .venv
	@grep -A 100 '^uv==' requirements.lock | sed '/^[a-z].*==/{/^uv==/!Q}' > .venv/uv.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r .venv/uv.lock

$(INSTALLED): requirements.lock | $(UV)
	@echo "installing requirements.lock into .venv ..."
	@$(UV) pip sync -q --require-hashes --python $(BIN)/python requirements.lock
	@touch $@

$(MINISTACK): local_sagemaker/ministack.lock | $(UV)
	@echo "installing local_sagemaker/ministack.lock into .venv-ministack ..."
	@$(UV) venv -q --allow-existing --python $(BIN)/python .venv-ministack
	@$(UV) pip sync -q --require-hashes --python .venv-ministack/bin/python local_sagemaker/ministack.lock
	@touch $@
