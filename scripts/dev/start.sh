#!/usr/bin/env bash
# Starts mozaiks for a person who develops with it: builds what is missing, then runs `mozaiks dev` with the given arguments.
# State lives in .mozaiks/ of the folder it is started from; `--help` lists the arguments.
set -euo pipefail
here=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. scripts/need.sh

# Standard output belongs to `mozaiks dev`, whose first line is for machines.
{
  say "checking tools"
  need_rust
  need_node
  npm_install
  if shell_is_built; then
    say "        the browser shell is up to date"
  else
    say "building the browser shell (npm run build)"
    npm run --silent build
  fi
  say "building mozaiks (cargo build -p node --locked); the first time takes some minutes"
  cargo build -p node --locked
  say "starting mozaiks dev"
} >&2

cd "$here"
exec "$target/debug/mozaiks" dev "$@"
