#!/bin/bash
# Runs every suite, prints a table, and ends with one line that counts. Fails if anything failed.
# A test that cannot run here prints "SKIPPED <name>: <why>" and is counted as skipped, not as passed.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
logs=$target/test-logs
mkdir -p "$logs"
rm -f "$logs"/*.log
results=$(mktemp)
trap 'rm -f "$results"' EXIT
export CARGO_TERM_COLOR=never

# suite NAME MINUTES COMMAND…: runs it, keeps its output, adds its rows to the results.
suite() {
	local name=$1 minutes=$2 start=$SECONDS status=0
	shift 2
	printf '\n==== %s: %s\n' "$name" "$*"
	timeout --kill-after=30 "${minutes}m" "$@" 2>&1 | tee "$logs/$name.log" || status=$?
	awk -v suite="$name" -v status="$status" -v seconds="$((SECONDS - start))" \
		-f packaging/test-rows.awk "$logs/$name.log" >>"$results"
}

general=(cargo test --release --locked --no-fail-fast --workspace --exclude stockade-cell)
cell=(cargo test --release --locked --no-fail-fast -p stockade-cell)

if [ "$(id -u)" -ne 0 ]; then
	echo "SKIPPED: the tests that build real cells need root; run as root for all of them" >&2
fi

# The cells' tests and the demo run the demo's agent, if a route to its target is found.
suite agent 15 env -u CARGO_TARGET_DIR agents/build.sh
suite lint 25 packaging/lint.sh
suite general 45 "${general[@]}" -- --show-output
suite cell-run 15 "${cell[@]}" --features run -- --show-output
suite cell-compile 15 "${cell[@]}" --features compile -- --show-output
suite demo 15 packaging/demo.sh

printf '\n%-44s %8s %8s %8s %8s\n' suite passed failed skipped seconds
awk -F'\t' '{ printf "%-44s %8d %8d %8d %8s\n", $1, $2, $3, $4, $5 }' "$results"
grep -h '^SKIPPED[ :]' "$logs"/*.log | sort -u | cut -c1-160 | sed '1s/^/\nskipped:\n/' || true
awk -F'\t' '$3 > 0 { print $1 }' "$results" | sed '1s/^/\nfailed:\n/'
# Their own words again, so that whoever sees only the end of this sees why.
awk -F'\t' '$3 > 0 { sub(/:.*/, "", $1); sub(/ .*/, "", $1); print $1 }' "$results" | sort -u | while read -r name; do
	printf '\n%s:\n' "$name"
	awk -f packaging/test-failures.awk "$logs/$name.log" | tail -n 80 | cut -c1-600
done

read -r passed failed skipped < <(awk -F'\t' '{ p += $2; f += $3; s += $4 } END { print p + 0, f + 0, s + 0 }' "$results")
printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
