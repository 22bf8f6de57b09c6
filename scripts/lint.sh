#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Format, lint, types, generated files. Prints a line a check; with --count FILE also how many passed and failed.
set -uo pipefail
cd "$(dirname "$0")/.."
passed=0
failed=0

check() {
  local name=$1 log
  shift
  log=$(mktemp)
  if "$@" >"$log" 2>&1; then
    passed=$((passed + 1))
    echo "lint: $name: ok"
  else
    failed=$((failed + 1))
    cat "$log"
    echo "lint: $name: FAILED ($*)" >&2
  fi
  rm -f "$log"
}

c_sources() { git ls-files '*.c' '*.h' '*.cc'; }

check_c_format() { c_sources | xargs clang-format --dry-run --Werror --style=file; }
check_licences() {
  local bare
  bare=$(git ls-files 'src/*.ts' 'metrics/*.ts' 'test/*.ts' 'bpf/*.[ch]' 'src/native/cc/*' '*.sh' 'bench/*.c' |
    xargs grep -L SPDX-License-Identifier)
  [ -z "$bare" ] || { echo "without an SPDX line:"; echo "$bare"; return 1; }
}

check biome npx --no-install biome ci --diagnostic-level=warn .
check clang-format check_c_format
check types npx --no-install tsc -p tsconfig.check.json
check generated node dist/src/maps/gen/main.js --check
check licences check_licences
if [ "${1:-}" = --count ]; then echo "$passed $failed" >"$2"; fi
[ "$failed" -eq 0 ]
