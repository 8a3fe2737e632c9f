#!/bin/bash
# Formatting and clippy. A part whose rustup component is missing is skipped, aloud.
set -euo pipefail
cd "$(dirname "$0")/.."

if cargo fmt --version >/dev/null 2>&1; then
	cargo fmt --all --check
else
	echo "SKIPPED fmt: rustfmt is not installed (rustup component add rustfmt)"
fi

# Warnings are errors with the toolchain the workspace names; a newer one may know lints we have not met.
warnings=()
wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
case $(rustc --version) in
"rustc $wanted."*) warnings=(-- -D warnings) ;;
esac

if cargo clippy --version >/dev/null 2>&1; then
	cargo clippy --release --locked --workspace --exclude stockade-cell --all-targets "${warnings[@]}"
	cargo clippy --release --locked -p stockade-cell --features run --all-targets "${warnings[@]}"
	cargo clippy --release --locked -p stockade-cell --features compile --all-targets "${warnings[@]}"
else
	echo "SKIPPED clippy: clippy is not installed (rustup component add clippy)"
fi
