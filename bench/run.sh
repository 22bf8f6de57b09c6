#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# npm run bench [-- OPTION...]; see bench/README.md and --help
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh --tests
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# static: it runs in containers that have nothing else
cc -O2 -static -o "$work/rr" bench/rr.c
cc -O2 -o "$work/connect" bench/connect.c
cc -O2 -fms-extensions -o "$work/fill" bench/fill.c -lbpf
/usr/bin/python3 bench/bench.py --rr "$work/rr" --work "$work" "$@"
