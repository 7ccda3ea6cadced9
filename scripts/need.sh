# shellcheck shell=bash
# What the other scripts need on a machine: checks of versions with a clear word, and what a registry or apt can give.
# Sourced from the root of the tree; changes nothing that is there already.

target=${CARGO_TARGET_DIR:-target}
case $target in /*) ;; *) target=$PWD/$target ;; esac
# Said aloud, since the machine's own settings of cargo may name another folder.
export CARGO_TARGET_DIR=$target
tools=$target/tools

GRPCURL=v1.9.3
RUST_AT_LEAST=1.95
NODE_AT_LEAST=20.19
PYTHON_AT_LEAST=3.9
GO_AT_LEAST=1.25
SECANTUS_PYTHON_AT_LEAST=3.11

say() { printf '%s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# at_least WANTED FOUND: whether a dotted version is the wanted one or newer.
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

# first_version: the first dotted number on standard input.
first_version() { grep -oE '[0-9]+(\.[0-9]+)+' | head -n 1; }

# need COMMAND AT_LEAST HOW: stops unless the command answers a version that is new enough.
need() {
  local found
  command -v "$1" >/dev/null || die "$1 is missing; $3"
  found=$({ "$1" --version || true; } 2>/dev/null | first_version || true)
  at_least "$2" "${found:-0}" || die "$1 is ${found:-of an unknown version}, at least $2 is needed; $3"
  say "        $1 $found"
}

need_rust() {
  need rustc "$RUST_AT_LEAST" "install Rust with rustup"
  need cargo "$RUST_AT_LEAST" "install Rust with rustup"
  command -v cc >/dev/null || apt_install gcc libc6-dev
}

need_node() {
  need node "$NODE_AT_LEAST" "install Node.js 20 LTS or newer"
  command -v npm >/dev/null || die "npm is missing; it comes with Node.js"
}

need_python() { need python3 "$PYTHON_AT_LEAST" "apt-get install python3"; }

# apt_install PACKAGE…: by apt, as root or with sudo.
apt_install() {
  local sudo=()
  command -v apt-get >/dev/null || die "$* is missing and there is no apt-get here; install it by hand"
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die "$* is missing; run as root: apt-get install $*"
    sudo=(sudo)
  fi
  say "        installing $* (apt)"
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive sh -c 'apt-get -q update && apt-get -q -y --no-install-recommends install "$@"' apt "$@" </dev/null >&2 ||
    die "apt could not install $*"
}

# The Chromium of the machine, for the browser tests, which read its path from CHROMIUM.
need_chromium() {
  local name
  for name in "${CHROMIUM:-chromium}" chromium-browser google-chrome-stable google-chrome; do
    if command -v "$name" >/dev/null; then
      CHROMIUM=$(command -v "$name")
      export CHROMIUM
      say "        $name $("$name" --version 2>/dev/null | first_version || true)"
      return
    fi
  done
  apt_install chromium
}

# grpcurl of the pinned version in the target folder, when Go is there; fails without a word when it is not.
grpcurl_install() {
  at_least "$GO_AT_LEAST" "$({ go version || true; } 2>/dev/null | first_version || true)" || return 1
  if [ ! -x "$tools/grpcurl-$GRPCURL" ]; then
    say "        go install grpcurl $GRPCURL"
    GOBIN=$tools GOTOOLCHAIN=local GOFLAGS="" go install "github.com/fullstorydev/grpcurl/cmd/grpcurl@$GRPCURL" </dev/null >&2 ||
      die "go could not install grpcurl $GRPCURL"
    mv "$tools/grpcurl" "$tools/grpcurl-$GRPCURL"
  fi
}

# The MongoDB-protocol server of the tests in a virtual environment in the target folder, of exactly the listed files; fails with
# its reason as its last line when it cannot be had.
secantus_install() {
  local venv=$target/secantus/venv list=scripts/test/requirements.txt
  if cmp -s "$list" "$venv/.mozaiks-list"; then
    say "        SecantusDB is up to date"
    return
  fi
  at_least "$SECANTUS_PYTHON_AT_LEAST" "$({ python3 --version || true; } 2>/dev/null | first_version || true)" ||
    { say "Python $SECANTUS_PYTHON_AT_LEAST or newer is not installed" && return 1; }
  rm -rf "$venv"
  { python3 -m venv "$venv" && "$venv/bin/pip" install -q --disable-pip-version-check --only-binary :all: --require-hashes -r "$list"; } \
    </dev/null >&2 || { say "pip could not install SecantusDB" && return 1; }
  cp "$list" "$venv/.mozaiks-list"
}

# RabbitMQ for the tests, which start one of their own; fails with its reason as its last line when it cannot be had.
need_rabbitmq() {
  local sudo=()
  if [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]; then
    say "        RabbitMQ is installed"
    return
  fi
  (apt_install rabbitmq-server) 2>&1 || return 1
  # The package starts one for the whole machine where there is systemd. Nobody asked for that one.
  [ "$(id -u)" = 0 ] || sudo=(sudo)
  [ ! -d /run/systemd/system ] || "${sudo[@]}" systemctl disable --now rabbitmq-server epmd.socket >&2 || true
}

# Packages of the lock file, unless the ones in node_modules are of this very lock file.
npm_install() {
  local stamp=node_modules/.mozaiks-lock
  if cmp -s package-lock.json "$stamp"; then
    say "        node_modules is up to date"
    return
  fi
  say "        npm ci --ignore-scripts"
  npm ci --ignore-scripts --no-audit --no-fund </dev/null >&2
  cp package-lock.json "$stamp"
}

# The shell that the gateway embeds, unless the built one is newer than everything it is made from.
shell_is_built() {
  [ -f runtime/dist/manifest.json ] &&
    [ -z "$(find package-lock.json buf.gen.yaml proto clients/typescript runtime/shell \
      \( -name node_modules -o -name dist -o -name gen \) -prune -o -type f -newer runtime/dist/manifest.json -print -quit)" ]
}
