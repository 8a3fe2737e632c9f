#!/bin/bash
# Installs the Debian packages that one use of the repository needs, and only those that are missing.
#   packaging/install-deps.sh build|demo|test|bench
set -euo pipefail

# gcc, libc6-dev   linker and the static C library; psm and wasmtime hold a little assembly and C
# libseccomp-dev   the policy crate's build script compiles the seccomp profiles with it
build=(gcc libc6-dev libseccomp-dev)
# python3          the agent of the native example
demo=(python3)
# strace           makes single system calls fail in the fault tests
# git              the edge tests ask it which files are committed
# curl, openssl, iproute2   clients, certificates and networks of the egress tests
test=(python3 strace git curl openssl iproute2)
# bubblewrap       the peer that the bench compares with; crun joins where it is installed
bench=(bubblewrap)

use=${1:-}
case $use in
build) wanted=("${build[@]}") ;;
demo) wanted=("${demo[@]}") ;;
test) wanted=("${test[@]}") ;;
bench) wanted=("${bench[@]}") ;;
*)
	echo "usage: $0 build|demo|test|bench" >&2
	exit 2
	;;
esac

if [ "$use" = build ] && ! command -v cargo >/dev/null; then
	echo "$0: no cargo in PATH. Install Rust from https://rustup.rs, then open a new shell (or: . ~/.cargo/env)." >&2
	exit 1
fi

if ! command -v dpkg-query >/dev/null; then
	echo "$0: not a Debian system; this needs, under whatever names it has them: ${wanted[*]}" >&2
	exit 0
fi

# Servers of others, where node is; a test that lacks them says so.
servers=/opt/stockade-tests/mcp
if [ "$use" = test ] && command -v npm >/dev/null && [ "$(id -u)" -eq 0 ]; then
	here=$(cd "$(dirname "$0")/../tests/mcp-servers" && pwd)
	if ! cmp -s "$here/package-lock.json" "$servers/package-lock.json" || [ ! -d "$servers/node_modules" ]; then
		mkdir -p "$servers"
		cp "$here/package.json" "$here/package-lock.json" "$servers/"
		# Nothing of the packages is run here; what they are is fixed by the digests in the lock file.
		npm ci --prefix "$servers" --ignore-scripts --no-audit --no-fund ||
			{ rm -rf "$servers"; echo "$0: the npm servers cannot be had here; their tests are skipped" >&2; }
	fi
fi

missing=()
for package in "${wanted[@]}"; do
	state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$state" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
	echo "$0: missing packages; as root: apt-get install ${missing[*]}" >&2
	exit 1
fi

export DEBIAN_FRONTEND=noninteractive
install=(apt-get install -y --no-install-recommends "${missing[@]}")
echo "$0: ${install[*]}"
# Package lists may be absent or old: they are fetched only if the packages cannot be had without.
if ! "${install[@]}"; then
	apt-get update
	"${install[@]}"
fi
