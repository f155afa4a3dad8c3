# The commands of php-cluster. Each is a line or two that you could type yourself after `source scripts/activate`.

STACK ?= dev
SUBSTRATE ?= local
REPORTS ?= .cluster/reports
.DEFAULT_GOAL := help
.PHONY: help up preview upgrade down test check unit model plugins lab stack applications faults comment environment format clean

help: ## this list
	@echo "php-cluster: make COMMAND [STACK=$(STACK)]"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1 \2/p' $(MAKEFILE_LIST) | awk '{ name = $$1; $$1 = ""; printf "  %-14s%s\n", name, $$0 }'

up: ## sets up whatever is missing, then builds or updates the cluster and says where it answers
	@scripts/up $(STACK)

preview: ## shows what `make up` would do; needs no root and no machines; REPORT=file.md writes it down too
	@scripts/preview $(STACK) $(REPORT)

upgrade: ## updates of packages, or another release of Debian, one machine at a time, while the site is served
	@scripts/upgrade --stack $(STACK)

down: ## removes the cluster with its machines and sessions; settings stay
	@scripts/down $(STACK)

test: ## every check and test, on real clusters of its own; a running one is left alone
	@scripts/test

check: ## static checks only: ruff, mypy, import-linter, shellcheck, shfmt, actionlint, gofmt, go vet, the docs site
	@scripts/test check

unit: ## tests without an engine and machines: what is decided and rendered
	@scripts/test unit

model: ## a model of the session log, explored exhaustively within bounds
	@scripts/test model

plugins: ## the plugins, official ones or stand-ins, through the real engine
	@scripts/test plugins

lab: ## the lab's scripts, and configuration files before the daemons' own judgement
	@scripts/test lab

stack: ## tests on real clusters: changes, failures, repairs
	@scripts/test stack

applications: ## real applications, used with a browser while machines have no power
	@scripts/test applications

faults: ## injects all faults under load, profiles article and safe (some three hours); test has a few of them
	@scripts/faults

comment: ## puts reports of `make preview` on a pull request: REPORTS=folder, and what docs/ci.md says
	@python3 -m scripts.pull_request_comment $(REPORTS)

environment: ## a cluster of its own on SUBSTRATE=local or aws: up, a look at it, and down whatever happened; ONLY=remove
	@scripts/environment $(SUBSTRATE) $(ONLY)

format: ## puts the code into its standard form
	@scripts/test format

clean: ## removes caches, images, the toolchain, and machines whose state is lost
	@scripts/clean
