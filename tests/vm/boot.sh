#!/bin/bash
# Boots a guest that image.sh built, under software emulation, and runs a folder's ./run in it as root.
#   tests/vm/boot.sh DIR PAYLOAD      exit code: that of ./run, 124 if it gave none in SECONDS_MAX (default 600)
set -euo pipefail
dir=$(cd "$1" && pwd)
payload=$2
limit=${SECONDS_MAX:-600}
state=$(mktemp -d "$dir/boot.XXXXXX")
trap 'rm -rf "$state"' EXIT

tar -C "$payload" --owner=0 --group=0 -cf "$state/payload" .
qemu-img create -q -f qcow2 -b "$dir/root.img" -F raw "$state/root.qcow2"
: >"$state/log"

# Nehalem without cx16: emulated cmpxchg16b has corrupted guests. No network at all.
qemu=(qemu-system-x86_64 -nodefaults -no-user-config -no-reboot -display none -M q35,sata=off,smbus=off,usb=off
	-accel tcg,thread=multi,tb-size=512 -cpu Nehalem,-cx16 -smp 2 -m 2048
	-rtc base=utc -kernel "$dir/vmlinuz" -initrd "$dir/initrd"
	-append "console=ttyS0 quiet panic=-1 mitigations=off nokaslr no_timer_check tsc=reliable ${APPEND:-}"
	-chardev "file,id=serial,path=$dir/console.log" -serial chardev:serial
	-drive "if=none,id=root,file=$state/root.qcow2,format=qcow2" -device virtio-blk-pci,drive=root
	-drive "if=none,id=payload,file=$state/payload,format=raw,readonly=on" -device virtio-blk-pci,drive=payload
	-object rng-random,id=entropy,filename=/dev/urandom -device virtio-rng-pci,rng=entropy
	-device virtio-serial-pci -chardev "file,id=out,path=$state/log" -device virtconsole,chardev=out)
nice -n 5 timeout --kill-after=5 "$limit" "${qemu[@]}" </dev/null &
machine=$!
tail --pid=$machine -n +1 -f "$state/log" || true
wait "$machine" || true

code=$(sed -n 's/^VM-EXIT:\([0-9]*\).*/\1/p' "$state/log" | tail -1)
if [ -z "$code" ]; then
	echo "boot.sh: no exit code from the guest; the end of its console ($dir/console.log):" >&2
	tail -n 20 "$dir/console.log" >&2
	exit 124
fi
exit "$code"
