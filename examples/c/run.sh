#!/usr/bin/env bash
# run.sh SERVER CLIENT: lets the client pull from the server, both with a small cache, and ends the server.
set -euo pipefail
lines=$(mktemp)
"$1" 0 256 >"$lines" &
server=$!
trap 'kill "$server" 2>/dev/null || true; rm -f "$lines"' EXIT
# The server's line that matches, once it is there.
line() {
  for _ in $(seq 200); do
    grep "$1" "$lines" && return
    kill -0 "$server"
    sleep 0.1
  done
  return 1
}
address=$(line "^serving at ")
"$2" "${address#serving at }" 256 | tee /dev/stderr | grep "all ones" >/dev/null
line " moved 64 blocks"
kill -INT "$server"
wait "$server"
