# Corten's interface for developers: each target is one step.
.PHONY: test
test:
	cargo test --workspace
