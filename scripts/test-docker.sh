#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test-docker.sh [--engine DIRECTORY] [VITEST-ARGUMENTS...]
# The tests with a real Docker, those of `npm test` and the managed plugin in a swarm: with the
# machine's own, or with one that docker-engine.sh has unpacked.
set -euo pipefail
usage() { echo "usage: npm run test:docker -- [--engine DIRECTORY] [FILE...]" >&2; exit 2; }
engine=
case "${1:-}" in
  --engine)
    [ $# -ge 2 ] || usage
    engine=$(realpath -- "$2")
    shift 2
    [ -x "$engine/usr/sbin/dockerd" ] || {
      echo "test:docker: there is no Docker in $engine: unpack one with scripts/docker-engine.sh" >&2
      exit 1
    }
    ;;
  --*) usage ;;
esac
cd "$(dirname "$0")/.."
bash scripts/setup.sh --tests
echo "test:docker: $(chroot "${engine:-/}" dockerd --version)"
SLUICE_TEST_ENGINE=$engine exec npx --no-install vitest run --project e2e --project docker "$@"
