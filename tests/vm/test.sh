#!/bin/bash
# Tests the release binaries on stock Debian guests, one kernel after another, under software emulation.
#   tests/vm/test.sh [KERNEL…]     kernels: 6.1 (Debian 12's own, the default), 6.12 (its backports)
# Images and snapshots of the binaries are under target/vm; an image is built once (remove its folder to rebuild).
set -euo pipefail
cd "$(dirname "$0")/../.."
[ "$(id -u)" -eq 0 ] || { echo "$0: needs root to build an image: sudo make test-vm" >&2; exit 1; }
tests/vm/install.sh

[ $# -gt 0 ] || set -- 6.1
target=${CARGO_TARGET_DIR:-target}
binaries=$target/x86_64-unknown-linux-gnu/release
payload=$(mktemp -d "$target/vm-payload.XXXXXX")
trap 'rm -rf "$payload"' EXIT
mkdir -p "$payload/bin"
cp "$binaries"/stockade "$binaries"/stockade-{launcher,init,shim,notary,cell,compile} "$payload/bin/"
cp -r policies "$payload/policies"
cp tests/vm/policies/* "$payload/policies/"
cp agents/target/log-triage.wasm "$payload/agent.wasm"
install -m 755 tests/vm/payload "$payload/run"
chmod -R go-w "$payload"

status=0
for kernel in "$@"; do
	case $kernel in
	6.1) from=bookworm ;;
	6.12) from=bookworm-backports ;;
	*)
		echo "$0: no kernel $kernel; 6.1 or 6.12" >&2
		exit 2
		;;
	esac
	image=$target/vm/$kernel
	[ -e "$image/kernel-version" ] || nice -n 5 tests/vm/image.sh "$image" bookworm "$from"
	tests/vm/boot.sh "$image" "$payload" || status=1
done
exit "$status"
