#!/bin/sh
# Builds the agents as components: agents/target/log-triage.wasm. The route is chosen, aloud, by
# packaging/wasm-target.sh.
set -eu
cd "$(dirname "$0")"
route=$(../packaging/wasm-target.sh)

say() { echo "build: $*" >&2; }

# A linker that makes components: Rust ships it with every toolchain; cargo can install it, too.
find_linker() {
    for dir in "$(rustc --print sysroot 2>/dev/null)"/lib/rustlib/*/bin; do
        if [ -x "$dir/wasm-component-ld" ]; then
            PATH=$PATH:$dir:$dir/gcc-ld
            linker=$dir/wasm-component-ld
            return 0
        fi
    done
    linker=$PWD/target/tools/bin/wasm-component-ld
    if [ ! -x "$linker" ]; then
        say "running: cargo install wasm-component-ld"
        /usr/bin/cargo install --locked --root target/tools wasm-component-ld >&2
    fi
    command -v wasm-ld >/dev/null || { say "no wasm-ld; apt-get install lld has one"; exit 1; }
}

build() {
    name=$1
    file=$(echo "$name" | tr - _).wasm
    case $route in
        target)
            cargo rustc --locked --release -p "$name" --target wasm32-wasip2 --lib --crate-type cdylib
            made=target/wasm32-wasip2/release/$file
            ;;
        build-std)
            find_linker
            say "std from source, without WASI: $(/usr/bin/rustc --version)"
            RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc RUSTC_WRAPPER='' /usr/bin/cargo rustc --locked --release -p "$name" \
                -Z build-std=std,panic_abort --target wasm32-unknown-unknown --target-dir target/build-std \
                --config "target.wasm32-unknown-unknown.linker = '$linker'" \
                --lib --crate-type cdylib -- -C linker-flavor=wasm-ld
            made=target/build-std/wasm32-unknown-unknown/release/$file
            ;;
    esac
    # A component has this header; a core module, which would be a wrong linker's work, has not.
    if [ "$(od -An -tx1 -N8 "$made" | tr -d ' ')" != 0061736d0d000100 ]; then
        say "$made is not a component"
        exit 1
    fi
    mkdir -p target
    cp "$made" "target/$name.wasm.new"
    mv "target/$name.wasm.new" "target/$name.wasm"
    say "agents/target/$name.wasm by route $route, $(wc -c <"target/$name.wasm") bytes"
}

build log-triage
