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
vitest() { # PROJECT: its report to $work/PROJECT.json, its exit code to $work/PROJECT.code
  npx --no-install vitest run --project "$1" --passWithNoTests \
    --reporter=default --reporter=json --outputFile.json="$work/$1.json"
  echo $? >"$work/$1.code"
}

# packet-level tests mostly wait for time to pass: half of the whole, beside the other half
vitest net >"$work/net.log" 2>&1 &
trap 'kill $! 2>/dev/null; rm -rf "$work"' EXIT
for project in unit bpf fuzz e2e; do vitest "$project"; done
wait
cat "$work/net.log"
for project in unit bpf fuzz net e2e; do
  code=$(cat "$work/$project.code")
  read -r p f s < <(node -e '
    const { numPassedTests: p, numFailedTests: f, numPendingTests: s, numFailedTestSuites: suites, success } =
      JSON.parse(require("fs").readFileSync(process.argv[1], "utf8"));
    console.log(p, f || (success ? 0 : Math.max(1, suites)), s);' "$work/$project.json" 2>/dev/null || echo 0 1 0)
  # a failure outside any test, such as in the global teardown
  [ "$code" -ne 0 ] && [ "$f" -eq 0 ] && f=1
  passed=$((passed + p))
  failed=$((failed + f))
  skipped=$((skipped + s))
done
summary="$passed passed, $failed failed"
[ "$skipped" -gt 0 ] && summary="$summary, $skipped skipped"
echo "$summary"
[ "$failed" -eq 0 ]
