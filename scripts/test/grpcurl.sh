#!/usr/bin/env bash
# Speaks to a fresh node as a person with grpcurl would, knowing nothing but what reflection tells.
# Usage: grpcurl.sh MOZAIKS GRPCURL, the paths of the two executables.
set -euo pipefail
grpcurl=$2
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. scripts/test/node.sh
start_node "$1"
passed=0 failed=0

# expect NAME PATTERN ARGUMENT…: what grpcurl prints, whether it succeeds or not, holds the pattern.
expect() {
  local name=$1 pattern=$2 said
  shift 2
  said=$("$grpcurl" -plaintext -max-time 10 "$@" 2>&1) || true
  if grep -qE "$pattern" <<<"$said"; then
    passed=$((passed + 1)) && echo "ok     $name"
  else
    failed=$((failed + 1)) && printf 'FAILED %s: no "%s" in\n%s\n' "$name" "$pattern" "$said"
  fi
}

identity=mozaiks.identity.v1
expect "list names the services" "^$identity\.AuthService$" "$admin" list
expect "list names health" '^grpc\.health\.v1\.Health$' "$admin" list
expect "list names the methods" "^$identity\.AuthService\.SignIn$" "$admin" list "$identity.AuthService"
expect "describe shows a service" 'rpc SignIn \(' "$admin" describe "$identity.AuthService"
expect "describe shows a message" 'string refresh_token = 3' "$admin" describe "$identity.SessionTokens"
expect "health is serving" '"status": "SERVING"' "$admin" grpc.health.v1.Health/Check
expect "a call for everybody answers" 'SIGN_IN_METHOD_PASSWORD' -d '{"parent": "apps/platform"}' "$admin" "$identity.AuthService/ListSignInMethods"
expect "a call without a token is refused" 'Code: Unauthenticated' -d '{"name": "apps/platform/me"}' "$admin" "$identity.MeService/GetMe"
expect "the refusal carries its reason" 'CREDENTIAL_MISSING' -d '{"name": "apps/platform/me"}' "$admin" "$identity.MeService/GetMe"

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
