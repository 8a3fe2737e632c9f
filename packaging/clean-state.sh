#!/bin/bash
# Removes the runs and the cache of this host, and nothing else. Refuses while a run is going on.
set -euo pipefail

state=/var/lib/stockade
volatile=/run/stockade

if [ "$(id -u)" -ne 0 ]; then
	echo "$0: needs root: the state belongs to it" >&2
	exit 1
fi
running=()
for exe in /proc/[0-9]*/exe; do
	name=$(readlink "$exe" 2>/dev/null || true)
	case ${name##*/} in
	stockade-shim | stockade-cell | stockade-launcher | stockade-notary) running+=("${exe//[^0-9]/}") ;;
	esac
done
if [ ${#running[@]} -gt 0 ]; then
	echo "$0: still running (pids ${running[*]}); stop those runs first" >&2
	exit 1
fi
# Symbolic links are not followed, nor other file systems entered.
rm -rf --one-file-system -- "$state/runs" "$state/cache" "$volatile"
echo "removed $state/runs, $state/cache and $volatile"
