#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Set-up, lint and every test. The last line is "N passed, N failed", with ", N skipped" if there were.
set -uo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh --tests || { echo "0 passed, 1 failed"; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

bash scripts/lint.sh --count "$work/lint"
read -r passed failed <"$work/lint"
skipped=0
vitest() { # PROJECT [SHARD]: its report to $work/PART.json, its exit code to $work/PART.code
  local part=$1${2:+-${2%/*}}
  npx --no-install vitest run --project "$1" ${2:+--shard="$2"} --passWithNoTests \
    --reporter=default --reporter=json --outputFile.json="$work/$part.json"
  echo $? >"$work/$part.code"
}

# files, pins and namespaces, as the tests name them
left() { ls -d "${TMPDIR:-/tmp}"/sluice-* /sys/fs/bpf/sluice-* /run/netns/{sluice-*,*-??????} 2>/dev/null | sort; }
left >"$work/before"

# packet-level tests mostly wait for time to pass: two thirds of them, beside all others
{ vitest net 1/3; vitest net 2/3; } >"$work/net.log" 2>&1 &
beside=$!
# other kernels want much of a processor and no answer in time: they get what the rest leaves
{ renice -n 10 $BASHPID >/dev/null; vitest kernel; } >"$work/kernel.log" 2>&1 &
trap 'kill $beside $! 2>/dev/null; rm -rf "$work"' EXIT
for project in unit bpf fuzz e2e; do vitest "$project"; done
vitest net 3/3
wait
cat "$work/net.log" "$work/kernel.log"
for part in unit bpf fuzz net-1 net-2 net-3 e2e kernel; do
  code=$(cat "$work/$part.code")
  read -r p f s < <(node -e '
    const { numPassedTests: p, numFailedTests: f, numPendingTests: s, numFailedTestSuites: suites, success } =
      JSON.parse(require("fs").readFileSync(process.argv[1], "utf8"));
    console.log(p, f || (success ? 0 : Math.max(1, suites)), s);' "$work/$part.json" 2>/dev/null || echo 0 1 0)
  # a failure outside any test, such as in the global teardown
  [ "$code" -ne 0 ] && [ "$f" -eq 0 ] && f=1
  passed=$((passed + p))
  failed=$((failed + f))
  skipped=$((skipped + s))
done
left | comm -13 "$work/before" - >"$work/left"
if [ -s "$work/left" ]; then
  echo "leftovers: FAILED"
  cat "$work/left"
  failed=$((failed + 1))
else
  echo "leftovers: none"
  passed=$((passed + 1))
fi
summary="$passed passed, $failed failed"
[ "$skipped" -gt 0 ] && summary="$summary, $skipped skipped"
echo "$summary"
[ "$failed" -eq 0 ]
