#!/usr/bin/env bash
# Runs the commands of docs/getting-started/README.md as they stand there, against a fresh node.
# Usage: walkthrough.sh MOZAIKS [GRPCURL], the paths of the executables; without the second one its section is left out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. scripts/test/node.sh
start_node "$1"
guide=docs/getting-started/README.md
passed=0 failed=0

# section TITLE LANGUAGE: the code blocks of that language under that heading.
section() {
  awk -v title="## $1" -v fence="\`\`\`$2" '
    /^## / { inside = ($0 == title) }
    inside && $0 == "```" { code = 0 }
    code { print }
    inside && $0 == fence { code = 1 }' "$guide"
}

# expect NAME PATTERN FILE: the last run was well and printed the pattern.
expect() {
  if [ "$status" = 0 ] && grep -qE "$2" "$3"; then
    passed=$((passed + 1)) && echo "ok     $1"
  else
    failed=$((failed + 1)) && echo "FAILED $1: exit code $status, looked for $2 in" && cat "$3"
  fi
}

# run TITLE: the commands of a section, with the addresses of this node in place of the usual ones.
run() {
  section "$1" sh | sed -e "s|^GATEWAY=.*|GATEWAY=http://$gateway|" -e "s|^ADMIN=.*|ADMIN=$admin|" >"$work/commands"
  status=0
  PATH=$work/bin:$PATH bash -euo pipefail "$work/commands" >"$work/said" 2>&1 || status=$?
}

mkdir "$work/bin"
run "With curl"
expect "curl reads the ways to sign in" '"SIGN_IN_METHOD_PASSWORD"' "$work/said"
expect "curl registers, signs in and reads the account" '"email": ?"cleo@example.com"' "$work/said"
expect "curl creates an app and lists it" '"apps": ?\[\{"name": ?"apps/garden-club"' "$work/said"
expect "curl enters the app" '"name": ?"apps/garden-club"' "$work/said"
expect "curl reads why a call is refused" '"reason": ?"PERMISSION_MISSING"' "$work/said"

if [ -n "${2:-}" ]; then
  ln -s "$2" "$work/bin/grpcurl"
  run "With grpcurl"
  expect "grpcurl lists and describes" 'rpc SignIn' "$work/said"
  expect "grpcurl signs in and lists the app" '"name": "apps/garden-club"' "$work/said"
fi

# Under target/, where the packages of the tree are found and git does not look.
mkdir -p target/walkthrough
section "From TypeScript" ts >target/walkthrough/walk.mts
status=0
{ npx tsc --ignoreConfig --strict --target es2022 --module nodenext --types node target/walkthrough/walk.mts &&
  GATEWAY=http://$gateway node target/walkthrough/walk.mjs; } >"$work/said" 2>&1 || status=$?
expect "TypeScript signs in and lists the app" 'apps/garden-club: Garden Club' "$work/said"
expect "TypeScript reads why a call is refused" 'NOT_FOUND [0-9a-f-]{36}' "$work/said"

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
