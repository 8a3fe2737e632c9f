#!/bin/bash
# Installs what the VM tests need, if it is missing. QEMU is taken from backports: Debian 12's own 7.2 corrupts
# emulated guests (cmpxchg16b). The machine's apt sources stay as they are.
set -euo pipefail
packages=(qemu-system-x86 qemu-utils mmdebstrap cpio kmod busybox-static e2fsprogs)
version=$(qemu-system-x86_64 --version 2>/dev/null | sed -n 's/.*version \([0-9]*\).*/\1/p' || true)
missing=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' "${packages[@]}" 2>/dev/null | grep -c ' installed$' || true)
[ "${version:-0}" -ge 10 ] && [ "$missing" -eq "${#packages[@]}" ] && exit 0

mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | head -1)
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
state=$(mktemp -d)
trap 'rm -rf "$state"' EXIT
mkdir -p "$state"/{lists,cache/archives}/partial
for suite in "$codename" "$codename-updates" "$codename-backports"; do
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
done >"$state/sources.list"
apt=(-q -o "Dir::Etc::sourcelist=$state/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$state/lists"
	-o "Dir::Cache=$state/cache" -o APT::Sandbox::User=root)
apt-get "${apt[@]}" update
# --no-remove: a mix of the two releases' packages would take one another off.
DEBIAN_FRONTEND=noninteractive apt-get "${apt[@]}" install -y --no-remove --no-install-recommends \
	-t "$codename-backports" "${packages[@]}"
