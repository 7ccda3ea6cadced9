#!/usr/bin/env bash
# Checks and tests everything that a push must pass, on a machine with Rust, Node.js and Python; Go adds the grpcurl walk-through.
# One line a step; a failed step shows the end of its log, and the others still run. Logs: test-logs/ in the target folder.
set -euo pipefail
set -m # each step is a process group of its own, so that ending it ends what it started
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/need.sh

passed=0 failed=0 skipped=0 count=0
logs=$target/test-logs
rm -rf "$logs"
mkdir -p "$logs"

running='' finished=''
summary() {
  local code=$?
  trap - EXIT INT TERM
  [ -z "$running" ] || kill -- "-$running" 2>/dev/null || true
  say
  [ -n "$finished" ] || { failed=$((failed + 1)) && say "stopped before the end"; }
  say "steps of scripts/test.sh, $SECONDS s:"
  say "$passed passed, $failed failed, $skipped skipped"
  [ "$failed" = 0 ] || code=1
  exit "$code"
}
trap summary EXIT
trap 'exit 130' INT TERM

# step NAME COMMAND…: runs it, its output into a log of its own. Answers whether it passed.
step() {
  local name=$1 began=$SECONDS log
  shift
  count=$((count + 1))
  log=$logs/$(printf '%02d' "$count").log
  printf '[%2d] %-58s ' "$count" "$name"
  "$@" >"$log" 2>&1 </dev/null &
  running=$!
  if wait "$running"; then
    running='' passed=$((passed + 1))
    say "ok $((SECONDS - began)) s"
    closing_lines "$log"
  else
    running='' failed=$((failed + 1))
    say "FAILED $((SECONDS - began)) s"
    # Failures of a test binary stand far above the end when others follow it.
    awk '/^failures:$/ { failures = 1 } failures { print } /^test result:/ { failures = 0 }' "$log" | head -n 200
    tail -n 60 "$log"
    closing_lines "$log"
    say "     the whole log: $log"
    return 1
  fi
}

# skip NAME WHY
skip() {
  count=$((count + 1)) skipped=$((skipped + 1))
  printf '[%2d] %-58s SKIPPED: %s\n' "$count" "$1" "$2"
}

# What test runners say last, of those that ran a test.
closing_lines() {
  grep -E '^(test result: |(#|ℹ) (tests|pass|fail|skipped) |[0-9]+ passed, )' "$1" | grep -vE ' 0 passed; 0 failed; 0 ignored' | sed 's/^/     /' || true
}

newest_release() { [ ! -d proto/releases ] || find proto/releases -name '*.binpb' | sort -V | tail -n 1; }

say "[ 0] tools, target folder $target"
need_rust
cargo fmt --version >/dev/null 2>&1 || die "rustfmt is missing; rustup component add rustfmt"
cargo clippy --version >/dev/null 2>&1 || die "clippy is missing; rustup component add clippy"
need_node
need_python
command -v curl >/dev/null || apt_install curl
need_chromium
# With it the storage tests fail syncs as a dying disk does.
command -v strace >/dev/null || apt_install strace
npm_install
grpcurl=''
if grpcurl_install; then
  grpcurl=$tools/grpcurl-$GRPCURL
  say "        grpcurl $GRPCURL"
fi
# A build that nobody repeats gains nothing from incremental files.
[ -z "${CI:-}" ] || export CARGO_INCREMENTAL=0

buf=node_modules/.bin/buf
contract=$target/contract.binpb
step "cargo fmt --all --check" cargo fmt --all --check || true
step "npm run lint (oxlint, buf lint, buf format)" npm run --silent lint || true
step "buf build" "$buf" build -o "$contract" || true
release=$(newest_release)
if [ -n "$release" ]; then
  step "buf breaking against $release" "$buf" breaking "$contract" --against "$release" || true
else
  skip "buf breaking" "no release to compare with yet"
fi

# Before cargo, since the gateway embeds the built shell.
shell_built=yes
step "npm run build (client, browser shell)" npm run --silent build || shell_built=''
step "npm run test:unit" npm run --silent test:unit || true

# Without the official runner the conformance test says SKIPPED and why.
if [ ! -x "$target/conformance/runner" ] && ! gateway/tests/conformance/fetch.sh "$target" >"$logs/conformance.log" 2>&1; then
  skip "protobuf conformance" "its runner could not be fetched; see $logs/conformance.log"
fi

# Without it the tests of the MongoDB engine say SKIPPED and why.
if ! secantus_install >"$logs/secantus.log" 2>&1; then
  skip "storage on a MongoDB-protocol server" "$(tail -n 1 "$logs/secantus.log")"
fi

# Without it the tests of the broker say SKIPPED and why.
if ! need_rabbitmq >"$logs/rabbitmq.log" 2>&1; then
  skip "events over RabbitMQ" "$(tail -n 1 "$logs/rabbitmq.log")"
fi

step "cargo clippy --workspace --all-targets" cargo clippy --workspace --all-targets --locked -- -D warnings || true
step "cargo test --workspace" cargo test --workspace --locked --no-fail-fast || true

# Every RPC once more where engine, broker and layout are those of a cluster. The test binary is that of the step above.
if [ -x "$target/secantus/venv/bin/secantusd-py" ] && [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]; then
  step "wire subset: one process on MongoDB" env WIRE_ENGINE=mongo \
    cargo test --workspace --test wire --locked -- identity:: --skip ten_thousand || true
  step "wire subset: split, MongoDB and RabbitMQ" env WIRE_LAYOUT=split WIRE_ENGINE=mongo WIRE_BROKER=rabbitmq \
    cargo test --workspace --test wire --locked -- identity:: layouts:: --skip ten_thousand || true
else
  skip "wire subset on MongoDB and RabbitMQ" "one of the servers is not installed"
fi

if why=$(scripts/test/instructions.sh --possible); then
  step "instructions per call (callgrind)" scripts/test/instructions.sh || true
else
  skip "instructions per call (callgrind)" "$why"
fi

# As it is shipped: the tests above were linked with the features that tests ask for besides. Client and shell look for it in
# the target folder.
mozaiks=$target/debug/mozaiks
if step "cargo build -p node" cargo build -p node --locked && [ -n "$shell_built" ]; then
  step "npm run test:client (TypeScript client over gRPC-Web)" npm run --silent test:client || true
  step "npm run test:browser (shell in headless Chromium)" npm run --silent test:browser || true
  step "walk-throughs of docs/getting-started" scripts/test/walkthrough.sh "$mozaiks" "$grpcurl" || true
  if [ -n "$grpcurl" ]; then
    step "grpcurl list, describe, call" scripts/test/grpcurl.sh "$mozaiks" "$grpcurl" || true
  else
    skip "grpcurl list, describe, call" "Go $GO_AT_LEAST or newer is not installed"
  fi
else
  for name in "npm run test:client" "npm run test:browser" "walk-throughs of docs/getting-started" "grpcurl list, describe, call"; do
    skip "$name" "nothing to run against"
  done
fi

if cargo deny --version >/dev/null 2>&1; then
  step "cargo deny (bans, licences, sources)" cargo deny --locked check bans licenses sources || true
else
  skip "cargo deny" "cargo-deny is not installed"
fi
finished=yes
