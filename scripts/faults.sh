#!/usr/bin/env bash
# Breaks a node on purpose and prints what came of it: killed in the middle of writes (F1), a full disk (F5), claims of
# 100 MiB (F10), a second process (F27). WIRE_CYCLES and WIRE_SEED choose how often and how. F5 needs root, to mount a disk.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/need.sh

export WIRE_CYCLES=${WIRE_CYCLES:-200} WIRE_SEED=${WIRE_SEED:-$RANDOM} RUST_BACKTRACE=0
log=$target/faults.log
mkdir -p "$target"
failed='' skipped=0 missing=0

# The writers' connections break with the node, and each says so: that goes into the log.
cargo test -p node --test wire --locked -- --nocapture --test-threads=1 crash:: faults:: >"$log" 2>&1 </dev/null || failed=yes

value() { sed -nE "s/.* $2=([^ ]+).*/\1/p" <<<"$1 "; }
rest() { sed -E 's/.* seconds=[^ ]+ ?//' <<<"$1"; }

printf '%-6s %8s %8s %14s %6s %9s  %s\n' fault seed cycles acknowledged lost seconds besides
for fault in F1 F5 F10 F27; do
  line=$(grep -oE "fault $fault .*" "$log" | tail -n 1 || true)
  case $line in
    '') missing=$((missing + 1)) && printf '%-6s FAILED\n' "$fault" ;;
    *SKIPPED*) skipped=$((skipped + 1)) && printf '%-6s %s\n' "$fault" "${line#fault "$fault" }" ;;
    *)
      printf '%-6s %8s %8s %14s %6s %9s  %s\n' "$fault" "$(value "$line" seed)" "$(value "$line" cycles)" \
        "$(value "$line" acknowledged)" "$(value "$line" lost)" "$(value "$line" seconds)" "$(rest "$line")"
      ;;
  esac
done
grep -E '^test result:|^test .* FAILED$' "$log" || true
say "$skipped skipped; the whole log: $log"
[ -z "$failed" ] && [ "$missing" = 0 ]
