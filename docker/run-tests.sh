#!/bin/sh
# What the container of compose/docker-compose.ci.yml runs: both suites, or the tests that CI_TESTS names.
set -eu

if [ -n "${CI_TESTS:-}" ]; then
  # shellcheck disable=SC2086  # words for pytest
  exec pytest $CI_TESTS
fi
exec python scripts/suite.py plain -n auto --maxprocesses=8 --dist=worksteal
