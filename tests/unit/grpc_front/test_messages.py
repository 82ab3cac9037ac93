"""The checked-in descriptor is the compiled ``open_inference.proto``."""

from __future__ import annotations

from pathlib import Path

from grpc_tools import protoc

from serve_apps.grpc_front import messages

FOLDER = Path(messages.__file__).parent


def test_descriptor_is_up_to_date(tmp_path: Path) -> None:
    compiled = tmp_path / "open_inference.binpb"
    assert protoc.main(["", f"-I{FOLDER}", f"--descriptor_set_out={compiled}", "open_inference.proto"]) == 0
    assert compiled.read_bytes() == (FOLDER / "open_inference.binpb").read_bytes()
