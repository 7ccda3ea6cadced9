#!/usr/bin/env bash
# A RabbitMQ of its own for tests, with everything that it writes in one folder, on loopback alone, as a plain process.
# Usage: rabbitmq.sh start|stop|kill FOLDER, rabbitmq.sh ctl FOLDER ARGUMENT… for rabbitmqctl. `start` prints the broker's address, the same one each time for one folder; `kill` is
# kill -9, after which `start` goes on with the same data; `stop` also ends epmd.
set -euo pipefail
server=/usr/lib/rabbitmq/bin/rabbitmq-server

alive() { [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null; }
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 12000))
    listens "$port" || break
  done
  echo "$port"
}

# gone FILE TENTHS: waits until the process of that pid file is away.
gone() {
  local left=$2
  while alive "$1" && [ "$left" -gt 0 ]; do
    sleep 0.1
    left=$((left - 1))
  done
  ! alive "$1"
}

start() {
  if [ ! -x "$server" ]; then
    echo "RabbitMQ is not installed: apt-get install --no-install-recommends rabbitmq-server" >&2
    exit 3
  fi
  mkdir -p "$dir/home"
  # Node, distribution, epmd.
  [ -s "$dir/ports" ] || echo "$(free_port) $(free_port) $(free_port)" >"$dir/ports"
  local node dist epmd
  read -r node dist epmd <"$dir/ports"
  echo '[].' >"$dir/plugins"
  printf '%s\n' 'disk_free_limit.absolute = 50MB' 'raft.wal_max_size_bytes = 64000000' 'log.console = false' >"$dir/rabbitmq.conf"

  export ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT=$epmd HOME=$dir/home
  if ! alive "$dir/epmd.pid"; then
    setsid epmd -address 127.0.0.1 -port "$epmd" >"$dir/epmd.log" 2>&1 </dev/null &
    echo $! >"$dir/epmd.pid"
  fi
  # So that the server takes the place of its wrapper, and its pid is ours.
  RUNNING_UNDER_SYSTEMD=true RABBITMQ_NODENAME=test$node@localhost RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_NODE_PORT=$node \
    RABBITMQ_DIST_PORT=$dist RABBITMQ_MNESIA_BASE=$dir/data RABBITMQ_LOG_BASE=$dir/log RABBITMQ_PID_FILE=$dir/server.pid \
    RABBITMQ_ENABLED_PLUGINS_FILE=$dir/plugins RABBITMQ_CONFIG_FILE=$dir/rabbitmq.conf RABBITMQ_CONF_ENV_FILE=/dev/null \
    RABBITMQ_FEATURE_FLAGS_FILE=$dir/flags \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}' \
    setsid "$server" >"$dir/out.log" 2>&1 </dev/null &
  echo $! >"$dir/broker.pid"
  local left=600
  until listens "$node"; do
    if ! alive "$dir/broker.pid" || [ "$left" = 0 ]; then
      tail -n 20 "$dir/out.log" >&2
      echo "RabbitMQ did not start; its log is in $dir/log" >&2
      exit 1
    fi
    sleep 0.1
    left=$((left - 1))
  done
  echo "amqp://guest:guest@127.0.0.1:$node/%2f"
}

# end FILE SIGNAL
end() {
  alive "$1" || return 0
  kill "-$2" "$(cat "$1")" 2>/dev/null || true
  gone "$1" 200 || kill -9 "$(cat "$1")" 2>/dev/null || true
  gone "$1" 50 || true
}

[ $# = 2 ] || { [ $# -gt 2 ] && [ "$1" = ctl ]; } || { sed -n '2,5s/^# //p' "$0" >&2 && exit 2; }
mkdir -p "$2"
dir=$(cd "$2" && pwd)
case $1 in
  start) start ;;
  kill) end "$dir/broker.pid" KILL ;;
  stop)
    end "$dir/broker.pid" TERM
    end "$dir/epmd.pid" TERM
    ;;
  ctl)
    read -r node _ epmd <"$dir/ports"
    shift 2
    HOME=$dir/home ERL_EPMD_PORT=$epmd RABBITMQ_CONF_ENV_FILE=/dev/null /usr/lib/rabbitmq/bin/rabbitmqctl -q -n "test$node@localhost" "$@"
    ;;
  *) echo "start, stop, kill or ctl, not $1" >&2 && exit 2 ;;
esac
