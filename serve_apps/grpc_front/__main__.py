"""The gRPC front as a process: ``python -m serve_apps.grpc_front --listen HOST:PORT --ingress URL``; SIGTERM stops it."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path
from typing import Final

import grpc

from serve_apps.grpc_front.credentials import reloading_credentials
from serve_apps.grpc_front.service import InferenceService

_GRACE_SECONDS: Final = 5.0
_MAX_CALLS: Final = 1000
"""Concurrent calls; further ones are refused with RESOURCE_EXHAUSTED."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="serve_apps.grpc_front", description=__doc__)
    parser.add_argument("--listen", required=True, help="HOST:PORT of the service")
    parser.add_argument("--ingress", required=True, help="URL of the platform")
    parser.add_argument("--max-body-bytes", type=int, required=True, help="largest message")
    parser.add_argument("--tls-cert", type=Path, help="certificate with its chain, in PEM; without: no TLS")
    parser.add_argument("--tls-key", type=Path, help="its key; without: in the same file")
    options = parser.parse_args()
    credentials = reloading_credentials(options.tls_cert, options.tls_key) if options.tls_cert else None
    asyncio.run(_serve(options.listen, options.ingress, options.max_body_bytes, credentials))


async def _serve(listen: str, ingress: str, max_body_bytes: int, credentials: grpc.ServerCredentials | None) -> None:
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", max_body_bytes),
            ("grpc.max_send_message_length", -1),
            # Fail if another server has the port.
            ("grpc.so_reuseport", 0),
        ],
        maximum_concurrent_rpcs=_MAX_CALLS,
    )
    service = InferenceService(ingress)
    server.add_generic_rpc_handlers((service.handlers(),))
    if credentials is None:
        server.add_insecure_port(listen)
    else:
        server.add_secure_port(listen, credentials)
    await server.start()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    sys.stderr.write(f"gRPC on {listen}, in front of {ingress}\n")
    await stopped.wait()
    await server.stop(_GRACE_SECONDS)
    await service.close()


if __name__ == "__main__":
    main()
