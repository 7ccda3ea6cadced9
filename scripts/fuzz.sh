#!/usr/bin/env bash
# fuzz.sh [SECONDS [TARGET…]]: feeds the targets of gateway/tests/corpora what coverage makes of their corpora, each for
# SECONDS (60), and fails on a finding. Needs a nightly toolchain and a C++ compiler, so it is no step of scripts/test.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '%s\n' "$*"; }
die() { say "fuzz.sh: $*" >&2 && exit 1; }

corpora=gateway/tests/corpora fuzz=gateway/fuzz
seconds=${1:-60}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || die "SECONDS is a whole number, not $seconds"
shift $(($# > 0 ? 1 : 0))
[ $# -gt 0 ] || set -- $(find "$corpora" -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | sort)
for target in "$@"; do [ -d "$corpora/$target" ] || die "there is no target $target"; done
cargo +nightly --version >/dev/null 2>&1 || die "a nightly toolchain is missing; rustup toolchain install nightly"

# What libFuzzer is told by: counters at every edge, comparisons, addresses that were never given.
flags=(
  -Cpasses=sancov-module
  -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
  -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares
  -Cllvm-args=-simplifycfg-branch-fold-threshold=0
  -Zsanitizer=address
)
host=$(rustc +nightly -vV | sed -n 's/^host: //p')
# For the host by name, so that build scripts and macros stay without instrumentation.
RUSTFLAGS="${flags[*]}" cargo +nightly build --locked --jobs "${FUZZ_JOBS:-1}" --target "$host" \
  --manifest-path "$fuzz/Cargo.toml" --target-dir "$fuzz/target"
binary=$fuzz/target/$host/debug/fuzz

# last NAME LOG: the last number that libFuzzer tells by this name.
last() { grep -oE "$1 [0-9]+" "$2" | tail -n 1 | grep -oE '[0-9]+$' || say 0; }

failed=''
printf '%-10s %12s %8s %10s %9s\n' target executions edges 'new edges' findings
for target in "$@"; do
  finds=$fuzz/finds/$target
  mkdir -p "$finds/inputs" "$finds/crashes"
  log=$finds/log
  before=$(find "$finds/crashes" -type f | wc -l)
  code=0
  # Short inputs keep tries quick; 5 s or 1 GiB for one is a finding.
  FUZZ_TARGET=$target "$binary" "$finds/inputs" "$corpora/$target" -max_total_time="$seconds" -max_len=4096 -timeout=5 \
    -rss_limit_mb=1024 -malloc_limit_mb=256 -print_final_stats=1 -artifact_prefix="$finds/crashes/" >"$log" 2>&1 </dev/null || code=$?
  findings=$(($(find "$finds/crashes" -type f | wc -l) - before))
  edges=$(last cov: "$log")
  seeded=$(grep -oE 'INITED cov: [0-9]+' "$log" | grep -oE '[0-9]+$' || say "$edges")
  printf '%-10s %12s %8s %10s %9s\n' "$target" "$(last stat::number_of_executed_units: "$log")" "$edges" $((edges - seeded)) "$findings"
  if [ "$code" != 0 ]; then
    failed=yes
    grep -A3 'panicked at' "$log" || tail -n 20 "$log"
    find "$finds/crashes" -type f
  fi
done
[ -z "$failed" ] || die "a finding is mended, minimised (-minimize_crash=1) and kept as a file of its corpus"
