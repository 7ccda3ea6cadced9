#!/usr/bin/env bash
# Starts the MongoDB-protocol server of the tests on loopback with a folder of its own, prints its address and runs until standard
# input ends: so it goes with whoever started it. Without the server installed it says so and exits with 3.
#   secantus.sh --install       makes its virtual environment in the target folder
#   secantus.sh [--standalone]  a replica set of one, or a standalone server; further options go to the server
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. scripts/need.sh

server=$target/secantus/venv/bin/secantusd-py
if [ "${1:-}" = --install ]; then
  secantus_install
  exit
fi
if [ ! -x "$server" ]; then
  echo "SecantusDB is not installed; run scripts/test/secantus.sh --install" >&2
  exit 3
fi

home=$(mktemp -d "${TMPDIR:-/tmp}/mozaiks-secantus.XXXXXX")
pid=''
finish() {
  trap - EXIT INT TERM HUP
  if [ -n "$pid" ]; then
    kill "$pid" 2>/dev/null || true
    # Its files may be removed, or used again, only when it is gone.
    for _ in $(seq 50); do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.1
    done
    kill -9 "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  fi
  rm -rf "$home"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

: >"$home/log"
"$server" --host 127.0.0.1 --port 0 --storage-path "$home/data" --sync-on-commit --enable-test-commands "$@" >"$home/log" 2>&1 </dev/null &
pid=$!
port=''
for _ in $(seq 200); do
  port=$(sed -n 's/.*listening on 127\.0\.0\.1:\([0-9]*\).*/\1/p' "$home/log" | head -n 1)
  [ -z "$port" ] || break
  if ! kill -0 "$pid" 2>/dev/null; then
    cat "$home/log" >&2
    exit 1
  fi
  sleep 0.05
done
[ -n "$port" ] || { cat "$home/log" >&2 && exit 1; }
echo "mongodb://127.0.0.1:$port/"
cat >/dev/null
