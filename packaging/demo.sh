#!/bin/bash
# The demo: an agent nobody has reason to trust reads this machine's package logs, writes a report, and on
# the way tries what it must not. Then: the report, and the record of all it did.
set -euo pipefail
cd "$(dirname "$0")/.."

stockade=${CARGO_TARGET_DIR:-target}/x86_64-unknown-linux-gnu/release/stockade
component=agents/target/log-triage.wasm
work=target/demo
log=$work/run.log

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] || say() { printf '\n%s\n' "$*"; }

if [ "$(id -u)" -ne 0 ]; then
	echo "$0: needs root, as every run without the daemon does: sudo make demo" >&2
	exit 1
fi

env -u CARGO_TARGET_DIR agents/build.sh

# The workspace is a copy: the agent gets no sight of /var/log itself. It acts there as the folder's owner.
rm -rf --one-file-system "$work"
mkdir -p "$work/workspace/logs" "$work/workspace/report"
shopt -s nullglob
for file in /var/log/dpkg.log* /var/log/apt/*.log*; do
	name=${file##*/}
	case $file in
	*.gz) gunzip -c "$file" >"$work/workspace/logs/${name%.gz}" ;;
	*) cp "$file" "$work/workspace/logs/$name" ;;
	esac
done
if ! find "$work/workspace/logs" -type f -size +0 | grep -q .; then
	echo "SKIPPED demo: no package logs in /var/log (this is a demo for Debian and its kin)"
	exit 0
fi

say "1. The agent runs. It was asked to summarise the package logs; it also tries to break out."
command=("$stockade" run --policy policies/examples/log-triage.toml --workspace "$work/workspace" "$component" --
	"summarise what changed and what failed" --logs logs --output report/summary.md --probe)
printf '$ %s\n\n' "${command[*]}"
status=0
"${command[@]}" 2>&1 | tee "$log" || status=$?
if [ "$status" -ne 0 ]; then
	echo "$0: stockade run ended with $status (docs/exit-codes.md)" >&2
	exit 1
fi

say "2. What it was for: its report ($work/workspace/report/summary.md)"
sed -n '/^## Busiest days/q; 1,30p' "$work/workspace/report/summary.md"

say "3. What it did, and what stopped it: every call with the decision, every layer as the kernel reported it"
run=$(sed -n 's/.*stockade journal show \([a-z0-9-]*\).*/\1/p' "$log" | tail -n 1)
printf '$ stockade journal show %s\n\n' "$run"
"$stockade" journal show "$run"

say "4. The record is whole"
printf '$ stockade journal verify %s\n\n' "$run"
"$stockade" journal verify "$run"

# The demo is a test as well: it fails if the agent got anything it was to be refused.
[ -s "$work/workspace/report/summary.md" ]
if grep -E 'AND GOT IT|SUCCEEDED' "$log"; then
	echo "$0: the agent got what it was to be refused" >&2
	exit 1
fi
grep -q 'refused' "$log"
say "Next: stockade doctor · policies/examples/ · docs/exit-codes.md · stockade journal show $run --json"
