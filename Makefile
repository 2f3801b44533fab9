# nsh and all that it brings along, from the versions that go.mod pins.
#
#   make            bin/nsh, libexec/*
#   make deps       the Debian packages that building and testing need
#   make demo       the main job on real containers, offline
#   make test       everything
#   make check      formatting, vet, staticcheck, which package imports which
#   make docs       docs/reference, from the definitions
#   make bench      speed and size against ctr and docker's client
#   make install    PREFIX=/usr/local DESTDIR=

PREFIX  ?= /usr/local
DESTDIR ?=
GO      ?= go
export CGO_ENABLED = 0

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)

CTRD    := github.com/containerd/containerd/v2
RUNC    := github.com/opencontainers/runc
CNI     := github.com/containernetworking/plugins/plugins
PLUGINS := main/bridge main/loopback main/macvlan main/ipvlan ipam/host-local ipam/dhcp meta/portmap meta/firewall meta/tuning
CTRDV    = $(shell $(GO) list -m -f '{{.Version}}' $(CTRD))
CTRDLD   = -s -w -X $(CTRD)/version.Version=$(CTRDV) -X $(CTRD)/version.Package=$(CTRD)

MODULE  := go.mod go.sum
SOURCES := $(shell find cmd lang builtins runtime stdlib -type f ! -name '*_test.go' 2>/dev/null)

all: bin/nsh libexec/nsh-helper libexec/nsh-hook libexec/nsh-engine libexec/containerd-shim-runc-v2 libexec/runc $(PLUGINS:%=libexec/cni/.%)

bin/nsh: $(SOURCES) $(MODULE)
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./cmd/nsh

# Without huge pages, which would double what the helper has resident where they
# are on for all; a //go:debug line is refused for this setting.
libexec/nsh-helper libexec/nsh-hook: libexec/%: $(SOURCES) $(MODULE)
	$(GO) build -trimpath -ldflags '-s -w -X runtime.godebugDefault=disablethp=1' -o $@ ./cmd/$*

libexec/nsh-engine: cmd/nsh-engine/main.go $(MODULE)
	$(GO) build -trimpath -ldflags '$(CTRDLD)' -o $@ ./cmd/nsh-engine

libexec/containerd-shim-runc-v2 libexec/ctr: libexec/%: $(MODULE)
	$(GO) build -trimpath -ldflags '$(CTRDLD)' -o $@ $(CTRD)/cmd/$*

# runc is the one program that needs C: libseccomp.
libexec/runc: $(MODULE)
	CGO_ENABLED=1 $(GO) build -trimpath -tags seccomp -ldflags '-s -w' -o $@ $(RUNC)

# The stamp is a hidden file, so that the directory holds plugins only.
libexec/cni/.%: $(MODULE)
	@mkdir -p libexec/cni/$(dir .$*)
	$(GO) build -trimpath -ldflags '-s -w' -o libexec/cni/$(notdir $*) $(CNI)/$*
	@mkdir -p $(dir $@) && touch $@

deps:
	@.ci/deps

.cache/web: testdata/web/main.go
	$(GO) build -trimpath -ldflags '-s -w' -o $@ ./testdata/web

demo: deps
	@$(MAKE) --no-print-directory all .cache/web
	@.ci/demo

test: deps
	@.ci/deps zsh fish
	@$(MAKE) --no-print-directory all libexec/ctr .cache/web
	NSH_LIBEXEC=$(CURDIR)/libexec $(GO) test -timeout 20m ./...

docs: bin/nsh
	bin/nsh doc --markdown docs/reference

check: bin/nsh
	@bad=$$(gofmt -l cmd lang builtins runtime stdlib testdata); [ -z "$$bad" ] || { echo "not gofmt-ed: $$bad"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	bin/nsh fmt --check -l stdlib scripts
	bin/nsh check stdlib stdlib/testdata scripts
	$(GO) test -count=1 -run TestEdges ./cmd/nsh

.cache/ptybench: testdata/ptybench/main.go $(MODULE)
	$(GO) build -trimpath -o $@ ./testdata/ptybench

# Starlark as its own command runs it: what our loops are measured against.
.cache/starlark: $(MODULE)
	$(GO) build -trimpath -o $@ go.starlark.net/cmd/starlark

bench: all libexec/ctr .cache/ptybench .cache/starlark
	@.ci/deps hyperfine
	@testdata/bench.sh

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/libexec/nsh/cni
	install bin/nsh $(DESTDIR)$(PREFIX)/bin/nsh
	install libexec/nsh-helper libexec/nsh-hook libexec/nsh-engine libexec/containerd-shim-runc-v2 libexec/runc $(DESTDIR)$(PREFIX)/libexec/nsh
	install $(addprefix libexec/cni/,$(notdir $(PLUGINS))) $(DESTDIR)$(PREFIX)/libexec/nsh/cni

clean:
	rm -rf bin libexec .cache

.PHONY: all deps demo test docs check bench install clean
