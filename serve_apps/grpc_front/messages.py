"""The messages of ``inference.GRPCInferenceService`` as protobuf classes.

Source: ``open_inference_grpc.proto`` of the Open Inference Protocol, and the repository index that Triton's client calls.
The import builds the messages from a table, without code generated for one compiler version. Their own pool keeps them
apart from a client's messages of the same names in the same process.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

PACKAGE: Final = "inference"
SERVICE: Final = "inference.GRPCInferenceService"

_TENSOR: Final = "name string 1; datatype string 2; shape int64* 3"
_PARAMETERS: Final = "parameters <InferParameter>"

_MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ServerLiveRequest": "",
        "ServerLiveResponse": "live bool 1",
        "ServerReadyRequest": "",
        "ServerReadyResponse": "ready bool 1",
        "ModelReadyRequest": "name string 1; version string 2",
        "ModelReadyResponse": "ready bool 1",
        "ServerMetadataRequest": "",
        "ServerMetadataResponse": "name string 1; version string 2; extensions string* 3",
        "ModelMetadataRequest": "name string 1; version string 2",
        "ModelMetadataResponse.TensorMetadata": _TENSOR,
        "ModelMetadataResponse": "name string 1; versions string* 2; platform string 3; "
        "inputs ModelMetadataResponse.TensorMetadata* 4; outputs ModelMetadataResponse.TensorMetadata* 5",
        "InferParameter": "bool_param ?bool 1; int64_param ?int64 2; string_param ?string 3; double_param ?double 4; "
        "uint64_param ?uint64 5",
        "InferTensorContents": "bool_contents bool* 1; int_contents int32* 2; int64_contents int64* 3; "
        "uint_contents uint32* 4; uint64_contents uint64* 5; fp32_contents float* 6; fp64_contents double* 7; "
        "bytes_contents bytes* 8",
        "ModelInferRequest.InferInputTensor": f"{_TENSOR}; {_PARAMETERS} 4; contents InferTensorContents 5",
        "ModelInferRequest.InferRequestedOutputTensor": f"name string 1; {_PARAMETERS} 2",
        "ModelInferRequest": f"model_name string 1; model_version string 2; id string 3; {_PARAMETERS} 4; "
        "inputs ModelInferRequest.InferInputTensor* 5; outputs ModelInferRequest.InferRequestedOutputTensor* 6; "
        "raw_input_contents bytes* 7",
        "ModelInferResponse.InferOutputTensor": f"{_TENSOR}; {_PARAMETERS} 4; contents InferTensorContents 5",
        "ModelInferResponse": f"model_name string 1; model_version string 2; id string 3; {_PARAMETERS} 4; "
        "outputs ModelInferResponse.InferOutputTensor* 5; raw_output_contents bytes* 6",
        "RepositoryIndexRequest": "repository_name string 1; ready bool 2",
        "RepositoryIndexResponse.ModelIndex": "name string 1; version string 2; state string 3; reason string 4",
        "RepositoryIndexResponse": "models RepositoryIndexResponse.ModelIndex* 1",
    }
)
"""``name type number``: ``type*`` is repeated, ``?type`` a member of the oneof, ``<type>`` a map with string keys.

Nested messages come before their outer message.
"""

_SCALARS: Final = MappingProxyType(
    {
        "bool": FieldDescriptorProto.TYPE_BOOL,
        "int32": FieldDescriptorProto.TYPE_INT32,
        "int64": FieldDescriptorProto.TYPE_INT64,
        "uint32": FieldDescriptorProto.TYPE_UINT32,
        "uint64": FieldDescriptorProto.TYPE_UINT64,
        "float": FieldDescriptorProto.TYPE_FLOAT,
        "double": FieldDescriptorProto.TYPE_DOUBLE,
        "string": FieldDescriptorProto.TYPE_STRING,
        "bytes": FieldDescriptorProto.TYPE_BYTES,
    }
)


def message(name: str) -> Any:
    """The class of a message, e.g. ``ModelInferRequest``."""
    return GetMessageClass(_POOL.FindMessageTypeByName(f"{PACKAGE}.{name}"))


def _pool() -> DescriptorPool:
    file = FileDescriptorProto(name="open_inference_grpc.proto", package=PACKAGE, syntax="proto3")
    nested: list[tuple[str, DescriptorProto]] = []
    for name, fields in _MESSAGES.items():
        descriptor = _message(name, fields)
        outer = name.rpartition(".")[0]
        if outer:
            nested.append((outer, descriptor))
            continue
        descriptor.nested_type.extend(inner for owner, inner in nested if owner == name)
        file.message_type.append(descriptor)
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def _message(path: str, fields: str) -> DescriptorProto:
    descriptor = DescriptorProto(name=path.rpartition(".")[2])
    for line in filter(None, fields.split("; ")):
        name, kind, number = line.split(" ")
        field = descriptor.field.add(name=name, number=int(number), label=FieldDescriptorProto.LABEL_OPTIONAL)
        if kind.endswith("*"):
            field.label = FieldDescriptorProto.LABEL_REPEATED
        if kind.startswith("?"):
            field.oneof_index = 0
            if not descriptor.oneof_decl:
                descriptor.oneof_decl.add(name="parameter_choice")
        if kind.startswith("<"):
            field.label = FieldDescriptorProto.LABEL_REPEATED
            _set_type(field, f"{path}.{_entry(descriptor, name, kind.strip('<>'))}")
        else:
            _set_type(field, kind.strip("*?"))
    return descriptor


def _entry(owner: DescriptorProto, field: str, kind: str) -> str:
    """Name of a map's entry message, which is nested in ``owner``."""
    entry = owner.nested_type.add(name=f"{field.title()}Entry")
    entry.options.map_entry = True
    for number, (name, entry_kind) in enumerate((("key", "string"), ("value", kind)), start=1):
        _set_type(entry.field.add(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL), entry_kind)
    return entry.name


def _set_type(field: FieldDescriptorProto, kind: str) -> None:
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type = FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{kind}"


_POOL: Final = _pool()
