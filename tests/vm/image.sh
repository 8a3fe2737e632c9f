#!/bin/bash
# Builds the guest of the VM tests: a stock Debian with systemd and cgroup v2, and a stock Debian kernel.
#   tests/vm/image.sh DIR SUITE KERNEL_SUITE      e.g. target/vm/bookworm bookworm bookworm-backports
# Leaves vmlinuz, initrd and root.img in DIR. Needs root. Packages come from wherever this machine's apt has them.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
dir=$(cd "$1" && pwd)
suite=$2 kernel_suite=$3
cd "$dir"

# An apt state of our own: the machine's sources and lists stay as they are.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | head -1)
mkdir -p apt/lists/partial apt/archives/partial kernel
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $kernel_suite main" >apt/sources.list
apt=(-qq -o "Dir::Etc::sourcelist=$dir/apt/sources.list" -o Dir::Etc::sourceparts=-
	-o "Dir::State::lists=$dir/apt/lists" -o "Dir::Cache=$dir/apt" -o APT::Sandbox::User=root)
apt-get "${apt[@]}" update
image=$(apt-cache "${apt[@]}" depends linux-image-cloud-amd64 | awk '/Depends: linux-image-/ { print $2; exit }')
(cd kernel && apt-get "${apt[@]}" download "$image" && for deb in *.deb; do dpkg -x "$deb" .; done)
[ -d kernel/usr/lib/modules ] || { mkdir -p kernel/usr/lib && mv kernel/lib/modules kernel/usr/lib/; }
version=$(ls kernel/usr/lib/modules)
cp "kernel/boot/vmlinuz-$version" vmlinuz
depmod -b "$dir/kernel/usr" "$version"

# The smallest initramfs that reaches an ext4 root on virtio-blk.
rm -rf early
mkdir -p early/{bin,modules,dev,proc,root}
cp "$(command -v busybox)" early/bin/busybox
ln -s busybox early/bin/sh
number=10
for module in virtio_pci virtio_blk virtio_console ext4; do
	modprobe -d "$dir/kernel/usr" -S "$version" --show-depends "$module" 2>/dev/null || true
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
	number=$((number + 1))
	case $file in
	*.xz) xz -dc "$file" ;;
	*.zst) zstd -dcq "$file" ;;
	*) cat "$file" ;;
	esac >"early/modules/$number.ko"
done
install -m 755 "$here/early-init" early/init
(cd early && find . | cpio --quiet -o -H newc -R 0:0) >initrd

# The root: what a small server has, the interpreter of the native example, and the package log (a "reproducible"
# root would lack it).
rm -rf root
mmdebstrap --quiet --variant=minbase --mode=root --skip=cleanup/reproducible --aptopt='Acquire::Languages "none"' \
	--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' \
	--include=systemd,systemd-sysv,dbus,udev,kmod,python3 "$suite" root "$mirror"
mkdir -p root/usr/lib/modules
cp -a "kernel/usr/lib/modules/$version" root/usr/lib/modules/
echo fleet-host >root/etc/hostname
: >root/etc/fstab
echo 11111111111111111111111111111111 >root/etc/machine-id
install -m 755 "$here/guest-service" root/usr/local/sbin/vm-test
cat >root/etc/systemd/system/vm-test.service <<'UNIT'
[Unit]
After=basic.target dbus.service
[Service]
Type=exec
ExecStart=/usr/local/sbin/vm-test
StandardOutput=null
UNIT
units=root/etc/systemd/system
mkdir -p $units/multi-user.target.wants
ln -sf ../vm-test.service $units/multi-user.target.wants/
ln -sfn /usr/lib/systemd/system/multi-user.target $units/default.target
# No terminals, no timers: nothing that would start while a test looks at the host.
for unit in getty.target getty@.service serial-getty@.service apt-daily.timer apt-daily-upgrade.timer \
	e2scrub_all.timer e2scrub_reap.service fstrim.timer dpkg-db-backup.timer systemd-timesyncd.service \
	systemd-firstboot.service; do
	ln -sf /dev/null "$units/$unit"
done
touch root/etc/.updated root/var/.updated
rm -f root.img
truncate -s 2G root.img
mkfs.ext4 -q -F -m0 -O ^has_journal,^metadata_csum -E lazy_itable_init=1 -d root root.img
rm -rf root early kernel apt
echo "$version" >kernel-version
