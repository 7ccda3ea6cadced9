#!/usr/bin/env bash
# Breaks nodes, stores and brokers on purpose and prints what came of it, a row a fault. WIRE_CYCLES and WIRE_SEED choose how often
# and how; mounting a disk (F5) needs root, the disk that forgets (F2, F3) needs FUSE, and some rows need servers of their own.
#
# A row comes from the test that breaks things, on its standard output, as one of:
#   fault F16 seed=7 cycles=3 acknowledged=900 lost=0 split=0 seconds=61.2 drained=4.1
#   fault F16 SKIPPED: why
# acknowledged = changes that a caller was told are done; lost = those that are not there; split = documents apart from their
# event; what follows `seconds` is the test's own. A dash stands where a word has no meaning. Every test file that prints a row is
# run; a row that nobody printed is FAILED.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/need.sh

export WIRE_CYCLES=${WIRE_CYCLES:-200} WIRE_SEED=${WIRE_SEED:-$RANDOM} RUST_BACKTRACE=0
export WIRE_FLIPS=${WIRE_FLIPS:-$WIRE_CYCLES}
# Of gateways and of services.
export WIRE_DRAINS=${WIRE_DRAINS:-$((WIRE_CYCLES / 8 + 1))} WIRE_BACKUPS=${WIRE_BACKUPS:-$((WIRE_CYCLES / 10 + 1))}
log=$target/faults.log
mkdir -p "$target"
: >"$log"
failed='' skipped=0 missing=0

# have COMMAND PACKAGE: what a row cannot do without. Where it cannot be had, the row says SKIPPED.
have() { command -v "$1" >/dev/null || (apt_install "$2") >>"$log" 2>&1 || say "        $2 could not be installed; see $log"; }

have strace strace
have fusermount3 fuse3
[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || have rabbitmq-server rabbitmq-server
scripts/test/secantus.sh --install >>"$log" 2>&1 || say "        SecantusDB could not be installed; see $log"

# run TEST FILTER…: one test binary, one test after the other. Connections break with their node, and each says so: that goes into
# the log. Built with the whole workspace, as scripts/test.sh has it: one package alone would build half of it anew.
run() {
  local test=$1
  shift
  say "        $test"
  cargo test --workspace --test "$test" --locked -- --nocapture --test-threads=1 "$@" >>"$log" 2>&1 </dev/null || failed=yes
}

# The wire suite over a store that fails now and then, as services/node/tests/wire/faults_store.rs has it, its callers asking again.
# Left out is what breaks nodes in its own way or counts failures itself, and commands of operators: those say what failed, and
# the operator types them again.
suite_over_faults() {
  local points='' method part=$target/faults-suite.log began=$SECONDS
  for method in insert replace remove patch get find; do
    points+="storage::$method=100*off->0.5%return(unavailable)->0.25%return(maybe)->0.25%return(lost);"
  done
  say "        wire over a store that fails"
  WIRE_CYCLES=2 WIRE_FAULTS=1 FAILPOINTS=${points%;} cargo test --workspace --test wire --locked -- --test-threads=4 --skip crash:: --skip faults \
    --skip lossy:: --skip layouts:: --skip operations >"$part" 2>&1 </dev/null || failed=yes
  sed -nE "s/^test result: .* ([0-9]+) passed; ([0-9]+) failed;.*/fault F28-suite seed=- cycles=1 acknowledged=- lost=- split=- \
seconds=$((SECONDS - began)) passed=\1 failed=\2/p" "$part" | tee -a "$log" >/dev/null
  grep -E '^test .* FAILED$' "$part" | sed 's/^test /test F28-suite /' >>"$log" || true
}

printing() { grep -rlE '"fault F|fault F[0-9]+[a-z-]* seed=' "$1" --include='*.rs' | sort; }

# The modules of the wire suite that print rows; F28 runs the others in its own way.
mapfile -t modules < <(printing services/node/tests/wire | sed -E 's|^services/node/tests/wire/||; s|/.*||; s|\.rs$||; s|$|::|' | sort -u)
run wire "${modules[@]}"
while read -r test; do
  run "$test"
done < <(printing crates | sed -nE 's|^crates/[a-z]+/tests/([^/.]+).*|\1|p' | sort -u)

suite_over_faults

# value LINE WORD
value() { sed -nE "s/.* $2=([^ ]+).*/\1/p" <<<"$1 " | grep . || echo -; }
rest() { sed -E 's/^fault [^ ]+//; s/ (seed|cycles|acknowledged|lost|split|seconds)=[^ ]+//g; s/^ //' <<<"$1"; }

columns='%-11s %8s %8s %14s %6s %6s %9s  %s\n'
# shellcheck disable=SC2059 # the columns are a format
row() { printf "$columns" "$@"; }

row fault seed cycles acknowledged lost split seconds besides
for fault in F1 F2 F2-normal F3 F4 F5 F6 F10 F14 F15 F16 F17 F20 F23 F23-move F23-cluster F25 F27 F28 F28-suite; do
  lines=$(grep -oE "fault $fault (seed=|SKIPPED).*" "$log" | sort -u || true)
  if [ -z "$lines" ]; then
    missing=$((missing + 1))
    printf '%-11s FAILED: no row was printed\n' "$fault"
    continue
  fi
  while read -r line; do
    case $line in
      *SKIPPED*) skipped=$((skipped + 1)) && printf '%-11s %s\n' "$fault" "${line#fault "$fault" }" ;;
      *)
        row "$fault" "$(value "$line" seed)" "$(value "$line" cycles)" "$(value "$line" acknowledged)" "$(value "$line" lost)" \
          "$(value "$line" split)" "$(value "$line" seconds)" "$(rest "$line")"
        ;;
    esac
  done <<<"$lines"
done
grep -E '^test result:|^test .* FAILED$' "$log" | grep -v ' 0 passed; 0 failed' || true
say "$skipped skipped, $missing missing; the whole log: $log"
[ -z "$failed" ] && [ "$missing" = 0 ]
