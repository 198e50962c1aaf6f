# fog. `make demo` shows it, `make test` proves it, `make help` lists the rest.

CARGO ?= cargo
PREFIX ?= /usr/local
DESTDIR ?=
target := $(or $(CARGO_TARGET_DIR),target)
fog := $(target)/release/fog
pages := $(wildcard man/*.[1578])

.PHONY: build demo check test bench soak install help

build: ## the fog binary, in target/release (or CARGO_TARGET_DIR)
	$(CARGO) build --release --locked

demo: build ## a network of five nodes on this machine; watch one letter travel
	$(fog) demo

check: ## the part of the gate for every commit: format, lints, unit tests, documents
	tests/run check

test: ## the whole gate; as root it installs the Debian packages it needs
	tests/run test

soak: ## the network test with many more seeds, each rule broken once, and fuzzing for hours
	tests/run soak

bench: ## packets built and peeled (beside the sphinx-packet crate), kept on disk, and through one node; as root: the milter
	$(CARGO) bench --locked --bench packet
	$(CARGO) bench --locked --bench custody
	$(CARGO) bench --locked --bench node
	@if [ "$$(id -u)" -eq 0 ] && [ -x $(fog) ]; then FOG=$(fog) benches/milter.sh; \
	  else echo "the milter's figures need root, Postfix and make build: benches/milter.sh"; fi

install: ## binary, manual pages, units, Postfix and Exim snippets below DESTDIR and PREFIX
	@test -x $(fog) || { echo "make install: $(fog) is missing: run make build first" >&2; exit 1; }
	install -Dm755 $(fog) $(DESTDIR)$(PREFIX)/bin/fog
	set -e; for page in $(pages); do \
	  install -Dm644 $$page $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/}; done
	install -d $(DESTDIR)$(PREFIX)/share/doc/fog/postfix
	install -m644 postfix/* $(DESTDIR)$(PREFIX)/share/doc/fog/postfix
	set -e; cd exim; for file in $$(find . -type f); do \
	  install -Dm644 $$file $(DESTDIR)$(PREFIX)/share/doc/fog/exim/$$file; done
	install -m644 README.md CHANGELOG.md docs/*.md $(DESTDIR)$(PREFIX)/share/doc/fog
	set -e; for unit in systemd/*.service systemd/*.socket; do \
	  install -Dm644 $$unit $(DESTDIR)$(PREFIX)/lib/systemd/system/$${unit##*/}; done
	sed -i 's|/usr/bin/fog|$(PREFIX)/bin/fog|' $(DESTDIR)$(PREFIX)/lib/systemd/system/fog-*.service
	install -Dm644 systemd/sysusers.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/fog.conf
	install -Dm644 systemd/tmpfiles.conf $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/fog.conf

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10
