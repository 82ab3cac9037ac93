#!/bin/sh
# Start the platform, keep the container alive, and stop the platform on SIGTERM. Options are those of `raylift up`.
set -eu
stop() {
    raylift down
    exit 0
}
trap stop TERM INT
if [ "${RAYLIFT_AUTH:-local}" != keys ]; then
    # Inside of the container every address is open. Who may reach it is decided where its port is published (Dockerfile).
    set -- --insecure-no-auth "$@"
fi
raylift up --host 0.0.0.0 "$@"
# `wait` ends at a signal, where a plain `sleep` would delay it.
while true; do
    sleep 3600 &
    wait $!
done
