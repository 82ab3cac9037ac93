"""TLS of the gRPC port, with a certificate that changes."""

from __future__ import annotations

from pathlib import Path

import grpc

from serve_apps.grpc_front.credentials import reloading_credentials
from tests.certificates import Authority


async def _answer(request: bytes, _context: object) -> bytes:
    return request


class _Echo(grpc.GenericRpcHandler):
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return grpc.unary_unary_rpc_method_handler(_answer)


async def _echo(port: int, ca: bytes) -> bytes:
    credentials = grpc.ssl_channel_credentials(ca)
    # Without the shared pool, each channel is a new connection.
    async with grpc.aio.secure_channel(
        f"localhost:{port}", credentials, options=[("grpc.use_local_subchannel_pool", 1)]
    ) as channel:
        return await channel.unary_unary("/a/b")(b"hello", timeout=20)


async def test_new_connections_get_the_changed_certificate(tmp_path: Path) -> None:
    first, second = Authority.make(), Authority.make()
    files = first.issue(tmp_path)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Echo(),))
    port = server.add_secure_port("127.0.0.1:0", reloading_credentials(*files))
    await server.start()
    try:
        assert await _echo(port, first.write(tmp_path / "1").read_bytes()) == b"hello"
        files[1].write_text("not yet complete")
        assert await _echo(port, first.write(tmp_path / "1").read_bytes()) == b"hello"
        second.issue(tmp_path)
        assert await _echo(port, second.write(tmp_path / "2").read_bytes()) == b"hello"
    finally:
        await server.stop(None)
