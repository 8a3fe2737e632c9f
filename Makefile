# Thin on purpose: each line is something a person could type.

.PHONY: build demo test test-vm bench lint doctor clean-state

BIN = $(or $(CARGO_TARGET_DIR),target)/x86_64-unknown-linux-gnu/release

# What `stockade run` needs. The two programs of the cell are built apart, since features unify within
# one cargo invocation and the cell must not get the compiler.
build:
	packaging/install-deps.sh build
	cargo build --release --locked --workspace --exclude stockade-cell
	cargo build --release --locked -p stockade-cell --features run
	cargo build --release --locked -p stockade-cell --features compile

demo: build
	packaging/install-deps.sh demo
	packaging/demo.sh

test: build
	packaging/install-deps.sh test
	packaging/test.sh

# On stock Debian guests under emulation; not a part of `test` (tests/vm/README.md). KERNELS="6.1 6.12" for both.
test-vm: build
	env -u CARGO_TARGET_DIR agents/build.sh
	tests/vm/test.sh $(KERNELS)

bench: build
	packaging/install-deps.sh bench
	$(BIN)/stockade-bench
	$(BIN)/stockade-bench calls

lint:
	packaging/install-deps.sh build
	packaging/lint.sh

doctor: build
	$(BIN)/stockade doctor

# Removes every journal and cached artifact of this host. Refuses while something runs.
clean-state:
	packaging/clean-state.sh
