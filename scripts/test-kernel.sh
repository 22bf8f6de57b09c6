#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test-kernel.sh [OPTION...]: Sluice under other kernels, in virtual machines; see docs/KERNELS.md and --help.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh --tests
npx --no-install rolldown test/kernel/lab/command.ts --platform node --format esm --dir test/kernel/build --log-level silent >/dev/null
exec node test/kernel/build/command.js "$@"
