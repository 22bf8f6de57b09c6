#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The fuzzers for as long as wanted: fuzz.sh [--scripts N] [--packets N] [--seed S] [--family 4|6].
# With one of --scripts and --packets only that fuzzer runs. Scripts are played so often for each family,
# or for the one given; packets are of both. A seed repeats a run.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { echo "usage: npm run fuzz -- [--scripts N] [--packets N] [--seed S] [--family 4|6]" >&2; exit 2; }

scripts='' packets=''
export SLUICE_FUZZ_SEED=$((RANDOM * 32768 + RANDOM)) SLUICE_FUZZ_FAMILY=
while [ $# -gt 0 ]; do
  [ $# -ge 2 ] && [[ $2 =~ ^[0-9]+$ ]] || usage
  case $1 in
  --scripts) scripts=$2 ;;
  --packets) packets=$2 ;;
  --seed) SLUICE_FUZZ_SEED=$2 ;;
  --family) SLUICE_FUZZ_FAMILY=$2 ;;
  *) usage ;;
  esac
  shift 2
done
[[ $SLUICE_FUZZ_FAMILY =~ ^[46]?$ ]] || usage
if [ -z "$scripts$packets" ]; then scripts=500 packets=2000000; fi

bash scripts/setup.sh
files=()
if [ -n "$packets" ]; then files+=(test/fuzz/packets.test.ts); fi
if [ -n "$scripts" ]; then files+=(test/fuzz/differential.test.ts); fi
export SLUICE_FUZZ_SCRIPTS=${scripts:-0} SLUICE_FUZZ_PACKETS=${packets:-0}
echo "fuzz: seed $SLUICE_FUZZ_SEED, scripts of family ${SLUICE_FUZZ_FAMILY:-4 and 6}"
exec npx --no-install vitest run --project fuzz "${files[@]}"
