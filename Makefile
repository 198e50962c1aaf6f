# fog. `make demo` shows it, `make test` proves it, `make help` lists the rest.

CARGO ?= cargo
PREFIX ?= /usr/local
DESTDIR ?=
SYSCONFDIR ?= /etc
zshdir ?= $(PREFIX)/share/zsh/site-functions
target := $(or $(CARGO_TARGET_DIR),target)
fog := $(target)/release/fog
cargo_deb := $(target)/tools/bin/cargo-deb
pages := $(wildcard man/*.[1578])

.PHONY: build demo check test attacks bench soak install install-files deb help

build: ## the fog binary, in target/release (or CARGO_TARGET_DIR)
	$(CARGO) build --release --locked

demo: build ## a network of five nodes on this machine; watch one letter travel
	$(fog) demo

check: ## the part of the gate for every commit: format, lints, unit tests, documents
	tests/run check

test: ## the whole gate; as root it installs the Debian packages it needs
	tests/run test

attacks: ## each defence taken out once, in a copy: the test that stages its attack must fail
	tests/attacks/run

soak: ## the network test with many more seeds, each defence taken out once, and fuzzing for hours
	tests/run soak

bench: ## packets built and peeled (beside the sphinx-packet crate), kept on disk, and through one node; as root: the milter
	$(CARGO) bench --locked --bench packet
	$(CARGO) bench --locked --bench custody
	$(CARGO) bench --locked --bench node
	@if [ "$$(id -u)" -eq 0 ] && [ -x $(fog) ]; then FOG=$(fog) benches/milter.sh; \
	  else echo "the milter's figures need root, Postfix and make build: benches/milter.sh"; fi

install: ## binary, manual pages, units, completions, Postfix and Exim snippets below DESTDIR and PREFIX
	@test -x $(fog) || { echo "make install: $(fog) is missing: run make build first" >&2; exit 1; }
	install -Dm755 $(fog) $(DESTDIR)$(PREFIX)/bin/fog
	$(MAKE) --no-print-directory install-files

# All but the binary.
install-files:
	set -e; for page in $(pages); do \
	  install -Dm644 $$page $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/}; done
	sed -i 's|/usr/local/share/doc|$(PREFIX)/share/doc|' $(DESTDIR)$(PREFIX)/share/man/man8/fog.8
	install -d $(DESTDIR)$(PREFIX)/share/doc/fog/postfix
	install -m644 postfix/* $(DESTDIR)$(PREFIX)/share/doc/fog/postfix
	set -e; cd exim; for file in $$(find . -type f); do \
	  install -Dm644 $$file $(DESTDIR)$(PREFIX)/share/doc/fog/exim/$$file; done
	install -m644 README.md CHANGELOG.md docs/*.md $(DESTDIR)$(PREFIX)/share/doc/fog
	set -e; for unit in systemd/*.service systemd/*.socket; do \
	  install -Dm644 $$unit $(DESTDIR)$(PREFIX)/lib/systemd/system/$${unit##*/}; done
	install -Dm644 systemd/sysusers.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/fog.conf
	install -Dm644 systemd/tmpfiles.conf $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/fog.conf
	install -Dm644 package/completions/fog.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/fog
	install -Dm644 package/completions/_fog $(DESTDIR)$(zshdir)/_fog
	install -Dm644 package/completions/fog.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/fog.fish
	install -Dm644 package/apparmor $(DESTDIR)$(SYSCONFDIR)/apparmor.d/fog
	install -Dm644 package/logcheck $(DESTDIR)$(SYSCONFDIR)/logcheck/ignore.d.server/fog
	sed -i 's|/usr/bin/fog|$(PREFIX)/bin/fog|' $(DESTDIR)$(PREFIX)/lib/systemd/system/fog-*.service \
	  $(DESTDIR)$(SYSCONFDIR)/apparmor.d/fog

deb: build $(cargo_deb) ## a Debian package, in target/debian (or CARGO_TARGET_DIR); fetches the tool that makes it
	rm -rf $(target)/release/deb $(target)/debian
	$(MAKE) --no-print-directory install-files DESTDIR=$(abspath $(target))/release/deb PREFIX=/usr SYSCONFDIR=/etc \
	  zshdir=/usr/share/zsh/vendor-completions
	gzip -9n $(target)/release/deb/usr/share/man/man*/*
	$(cargo_deb) --no-build --locked --quiet

$(cargo_deb):
	$(CARGO) install cargo-deb --version 3.8.0 --locked --quiet --root $(target)/tools --target-dir $(target)/tools/build
	rm -r $(target)/tools/build

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10
