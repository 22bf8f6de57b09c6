#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Compiles bpf/*/*.bpf.c to dist/bpf/NAME.bpf.o, those that are older than a source or a header, and
# fails where a chain of calls takes more stack than every verifier grants (scripts/bpf-stack.mjs).
# clang is $CLANG, clang, or the newest clang-N (src/loader/compile.ts looks in the same order).
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-dist/bpf}

find_clang() {
  if [ -n "${CLANG:-}" ]; then echo "$CLANG"; return; fi
  if command -v clang >/dev/null; then echo clang; return; fi
  compgen -c clang- | grep -E '^clang-[0-9]+$' | sort -t- -k2 -n | tail -n 1
}

clang=$(find_clang || true) # none is an empty answer
if [ -z "$clang" ] || ! command -v "$clang" >/dev/null; then
  echo "build-bpf: there is no clang${clang:+ ($clang)}: apt-get install clang, or set CLANG" >&2
  exit 1
fi
mkdir -p "$out"
newest=$(find bpf -name '*.h' -newer "$out/.stamp" 2>/dev/null | head -n 1 || true)
[ -e "$out/.stamp" ] || newest=all
# the frames stand beside the objects from when the stack is checked
compgen -G "$out/*.su" >/dev/null || newest=all
objects=()
for source in bpf/*/*.bpf.c; do
  object=$out/$(basename "$source" .bpf.c).bpf.o
  objects+=("$object")
  if [ -n "$newest" ] || [ ! -e "$object" ] || [ "$source" -nt "$object" ]; then
    echo "build-bpf: $source"
    "$clang" -O2 -g -Wall -Wextra -Wno-unused-parameter -Werror -fms-extensions -Wno-microsoft-anon-tag \
      -fstack-usage -target bpf -mcpu=v3 -I"/usr/include/$(uname -m)-linux-gnu" -c "$source" -o "$object"
  fi
done
touch "$out/.stamp"
node scripts/bpf-stack.mjs "${objects[@]}"
