"""Order of a batch's attempt: what the program needs, as JSON. The supervisor writes it, and the program reads it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from raylift.domain.batches.batch import BatchSpec, Format, OnError

FILE: Final = "order.json"
INPUT_FOLDER: Final = "input"
"""In a batch's directory: the files that were uploaded. ``job_entrypoints.contract.BATCH_INPUT``."""
WORK_FOLDER: Final = "work"
"""There: what its program remembers, and the output that the platform keeps. ``job_entrypoints.contract.BATCH_WORK``."""
PLAN_FILE: Final = "plan.json"
PROGRESS_FILE: Final = "progress.json"
RESULT_FILE: Final = "result.json"
"""Written last: the output is there."""
REJECTED_NAME: Final = "rejected.jsonl"
"""Rejected rows of an output that the platform keeps; others have a file ``OUTPUT.rejected.jsonl``."""


@dataclass(frozen=True, slots=True)
class BatchOrder:
    """Everything that one attempt of a batch needs to know."""

    job_id: str
    spec: BatchSpec
    directory: str
    """Directory of the batch, with ``INPUT_FOLDER`` and ``WORK_FOLDER``."""
    model_uri: str
    mlflow_url: str
    files: dict[str, str] | None
    """Digests of the version's files as they were registered."""
    readable: tuple[str, ...]
    """Folders and files of the platform's machine that the input may lie in."""
    writable: tuple[str, ...]
    """Folders of the platform's machine that the output may lie in."""
    processes: int
    """Processes that predict."""

    def as_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def of(cls, content: bytes) -> Self:
        """Read the result of ``as_json``."""
        values: dict[str, Any] = json.loads(content)
        spec: dict[str, Any] = values["spec"]
        for name in ("uploads", "columns", "keep"):
            spec[name] = None if spec[name] is None else tuple(spec[name])
        for name, kind in (("input_format", Format), ("output_format", Format), ("on_error", OnError)):
            spec[name] = None if spec[name] is None else kind(spec[name])
        for name in ("readable", "writable"):
            values[name] = tuple(values[name])
        values["spec"] = BatchSpec(**spec)
        return cls(**values)


def output_name(output_format: Format) -> str:
    """Return the name of an output that the platform keeps, in ``WORK_FOLDER``."""
    return f"output.{output_format}"


def rejected_path(output: str) -> str:
    """Return the path of the rejected rows of an output elsewhere."""
    return f"{output.rstrip('/')}.{REJECTED_NAME}"
