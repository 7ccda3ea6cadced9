#!/usr/bin/env bash
# Counts the instructions of a call on each way through the gateway under callgrind, and fails when one has grown by more than
# five percent over gateway/benches/instructions.toml. Usage: instructions.sh [--possible | --write]
# --possible: whether that can be done here; says why not. --write: writes the file anew.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. scripts/need.sh
expected=gateway/benches/instructions.toml

# counted_with KEY FOUND: fails with a word when the expected counts are of something else.
counted_with() {
  local wanted
  wanted=$(sed -n "s/^$1 = \"\(.*\)\"$/\1/p" "$expected")
  [ "$wanted" = "$2" ] || { say "the expected counts are of $wanted, here is ${2:-none}" && return 1; }
}

possible() {
  counted_with machine "$(uname -m)" && counted_with libc "$(getconf GNU_LIBC_VERSION 2>/dev/null)" && counted_with rustc "$(rustc --version)" || return 1
  command -v valgrind >/dev/null || (apt_install valgrind) >/dev/null 2>&1 || { say "valgrind is missing and apt cannot install it" && return 1; }
}

case ${1:-} in
  --possible) possible ;;
  --write) cargo bench --profile instructions --locked -p gateway --bench instructions -- --write ;;
  *) possible && cargo bench --profile instructions --locked -p gateway --bench instructions ;;
esac
