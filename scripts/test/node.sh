# shellcheck shell=bash
# A node of its own for a test script: fresh state, free ports, ended with the script. Sourced; leaves $gateway, $admin, $work.

work=$(mktemp -d)
node_pid='' gateway='' admin=''

stop_node() {
  local code=$?
  trap - EXIT INT TERM
  if [ -n "$node_pid" ]; then
    kill "$node_pid" 2>/dev/null || true
    wait "$node_pid" 2>/dev/null || true
  fi
  rm -rf "$work"
  exit "$code"
}
trap stop_node EXIT
trap 'exit 130' INT TERM

# start_node MOZAIKS: returns when it answers; the addresses are without `http://`.
start_node() {
  local addresses
  mkfifo "$work/out"
  MOZAIKS_DRAIN_SECONDS=0 "$1" serve --data-dir "$work/data" --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 >"$work/out" 2>"$work/log" &
  node_pid=$!
  exec 3<"$work/out"
  if ! IFS= read -r -t 60 addresses <&3; then
    cat "$work/log" >&2
    echo "the node said nothing on stdout" >&2
    exit 1
  fi
  gateway=$(sed -nE 's|.*"gateway":"http://([^"]+)".*|\1|p' <<<"$addresses")
  admin=$(sed -nE 's|.*"admin":"http://([^"]+)".*|\1|p' <<<"$addresses")
  if [ -z "$gateway" ] || [ -z "$admin" ]; then
    echo "no addresses in: $addresses" >&2
    exit 1
  fi
}
