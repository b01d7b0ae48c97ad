# Each target sets up what it needs; `make help` lists them.
.DEFAULT_GOAL := help
# If a shell forbids bytecode, every start of every program compiles our modules again.
export PYTHONDONTWRITEBYTECODE :=
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.ready
PYTEST := $(PY) -m pytest --dist loadfile --no-loadscope-reorder  # tests/durations.py puts the longest files first

.PHONY: help setup compare test unit lowest pythons durations soak check bench scaling dist image brokers hubs browser reference reference-pages lock sbom docs clean notebook notebooks

help:  ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## create .venv with everything that requirements.lock pins

$(STAMP): pyproject.toml requirements.lock scripts/setup.sh
	@scripts/setup.sh $(VENV)
	@touch $@

compare: $(STAMP)  ## the main job: compare the brokers found here until all is settled, about 6 minutes
	@$(VENV)/bin/fanbench compare

brokers: $(STAMP)  ## install redis-server, mosquitto, rabbitmq-server, nginx, caddy and postgresql by apt or brew
	@scripts/brokers.sh

hubs:  ## install pushpin by apt or brew, better-sse and the Durable Streams server by npm, for compare --endpoint
	@scripts/hubs.sh

browser:  ## install the browser for the tests of the web page
	@scripts/browser.sh

test: $(STAMP) brokers hubs browser  ## run every test
	@scripts/test.sh $(PY)

unit: $(STAMP)  ## the tests that start no program: less than a minute
	@$(PYTEST) -n 3 -m unit --hypothesis-profile quick

lowest: $(STAMP)  ## the fast tests and the adapters with the lowest versions that pyproject.toml allows: 10 minutes
	@scripts/lowest.sh

pythons: $(STAMP)  ## the fast tests under the lowest and the highest Python on this machine: 3 minutes
	@$(PY) scripts/pythons.py

durations: $(STAMP) brokers hubs browser  ## run every test and record how long each file takes in tests/durations.json
	@$(PYTEST) -n 5 --record-durations

soak: $(STAMP)  ## scenarios/soak.toml, 250,000 unusual connections, fifty runs with changing workers, every contract field renamed: an hour
	@$(PY) -m pytest -m soak tests

reference: $(STAMP) brokers browser  ## measure results/reference again: 75 minutes; after Ctrl-C the same command continues
	@scripts/reference.sh

reference-pages: $(STAMP) browser  ## rebuild the page, the notebooks' outputs and README's picture from results/reference
	@scripts/reference_pages.sh

bench: $(STAMP) brokers  ## compare fanbench with lower bounds and alternatives, each ratio from one run: 20 minutes
	@$(PY) -m benchmarks --json results/benchmarks.json

scaling: $(STAMP)  ## draw into docs/images how cost grows with clients, rate, payload, topics and replicas
	@$(PY) -m benchmarks.scaling

dist: $(STAMP)  ## build the standalone wheel and the sdist into dist/
	@rm -rf dist && $(VENV)/bin/uv build -q --out-dir dist && ls dist/*

image:  ## build the image fanbench:VERSION, labelled with the version and the commit
	@version=$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml) && \
	docker build -t fanbench:$$version --build-arg FANBENCH_VERSION=$$version --build-arg FANBENCH_COMMIT=$$(git rev-parse HEAD 2>/dev/null || cat core/commit.txt) .

check: $(STAMP)  ## ruff, ruff format, mypy --strict, import-linter
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

notebook: $(STAMP)  ## open the notebooks that chart results/ in Jupyter
	@case "$$FANBENCH_RESULTS" in ""|/*) ;; *) export FANBENCH_RESULTS="$(CURDIR)/$$FANBENCH_RESULTS";; esac; \
	$(VENV)/bin/jupyter lab --LabApp.default_url=/lab/tree/notebooks $$([ "$$(id -u)" != 0 ] || echo --allow-root)  # root: in a container

notebooks: $(STAMP)  ## run every notebook on results/reference and store the outputs
	@FANBENCH_RESULTS=results/reference $(PY) scripts/notebooks.py

# Versions and hashes; no address of a registry is written.
COMPILE := $(VENV)/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q

lock: $(STAMP)  ## pin the dependencies again, with hashes; PACKAGE=name for one of them
	@$(COMPILE) --all-extras --group dev --group bench --group supply --group docs $(if $(PACKAGE),--upgrade-package $(PACKAGE),--upgrade) -o requirements.lock pyproject.toml
	@$(COMPILE) -c requirements.lock -o deploy/requirements.lock deploy/requirements.txt

sbom: $(STAMP)  ## write dist/sbom.cdx.json: what an installation contains, as CycloneDX
	@mkdir -p dist
	@$(VENV)/bin/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --output-reproducible --of JSON -o dist/sbom.cdx.json
	@echo dist/sbom.cdx.json

docs: $(STAMP)  ## build the documentation as a site in dist/docs; warnings and dead links fail it
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet && echo dist/docs/index.html

clean:  ## remove .venv, caches and unfinished results
	@rm -rf $(VENV) .mypy_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks results/*.partial
	@find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
