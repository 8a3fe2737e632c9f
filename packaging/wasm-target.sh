#!/bin/sh
# Finds or makes a way to build Rust agents as components. Prints the route's name on stdout and
# everything a person should know on stderr; agents/build.sh builds by it.
#
#   target     Rust's own wasm32-wasip2, by rustup: what any Rust user would type.
#   build-std  Debian's rustc-web with its std from source, for wasm32-unknown-unknown. The
#              component then imports nothing of WASI; std's files and sockets are stubs.
#
# STOCKADE_WASM_ROUTE=target|build-std takes that route and no other.
set -eu

say() { echo "wasm-target: $*" >&2; }

sysroot_has_target() {
    [ -d "$(rustc --print sysroot 2>/dev/null)/lib/rustlib/wasm32-wasip2/lib" ]
}

try_target() {
    if sysroot_has_target; then
        return 0
    fi
    if ! command -v rustup >/dev/null; then
        say "this Rust has no wasm32-wasip2 and there is no rustup to add it"
        return 1
    fi
    say "running: rustup target add wasm32-wasip2"
    if why=$(RUST_BACKTRACE=0 rustup target add wasm32-wasip2 2>&1) && sysroot_has_target; then
        return 0
    fi
    say "rustup could not add the target:"
    echo "$why" | sed 's/^/wasm-target:   /' >&2
    return 1
}

debian_has_std_source() {
    [ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ] && [ -d "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library/std" ]
}

try_build_std() {
    if debian_has_std_source; then
        return 0
    fi
    packages="rustc-web cargo-web rust-web-src"
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        say "building std from source needs Debian's $packages; as root: apt-get install $packages"
        return 1
    fi
    say "running: apt-get install $packages"
    # shellcheck disable=SC2086  # three words
    if ! DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages >&2; then
        say "apt-get could not install them; 'apt-get update' may help"
        return 1
    fi
    debian_has_std_source
}

case ${STOCKADE_WASM_ROUTE:-auto} in
    auto)
        if try_target; then echo target; exit 0; fi
        say "falling back to building std from source (rustc-web)"
        if try_build_std; then echo build-std; exit 0; fi
        ;;
    target) if try_target; then echo target; exit 0; fi ;;
    build-std)
        say "route build-std is asked for by STOCKADE_WASM_ROUTE"
        if try_build_std; then echo build-std; exit 0; fi
        ;;
    *) say "STOCKADE_WASM_ROUTE=$STOCKADE_WASM_ROUTE is not known; there are: target, build-std"; exit 2 ;;
esac
say "no way to build components on this machine; see above"
exit 1
