"""Protobuf messages of ``inference.GRPCInferenceService``, from the compiled ``open_inference.proto``.

A descriptor has no generated code, which would tie the platform to a compiler's version. Its own pool avoids a conflict with a
client in the same process, whose messages have the same names.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

SERVICE: Final = "inference.GRPCInferenceService"


def message(name: str) -> Any:
    """Class of a message, e.g. ``ModelInferRequest``."""
    return GetMessageClass(_POOL.FindMessageTypeByName(f"inference.{name}"))


def _pool() -> DescriptorPool:
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(files("serve_apps.grpc_front").joinpath("open_inference.binpb").read_bytes()).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


_POOL: Final = _pool()
