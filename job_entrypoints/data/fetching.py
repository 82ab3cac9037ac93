"""Brings the files of a dataset to this node, and checks each by its SHA-256."""

from __future__ import annotations

import hashlib
import http.client
import os
import time

from job_entrypoints.contract import DATA, GATEWAY_VARIABLE, attempt_token
from job_entrypoints.courier.gateway import Gateway, Refused, Unreachable
from job_entrypoints.courier.remote_attempt import ray_token
from job_entrypoints.data.regular_file import open_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, BinaryIO

    from job_entrypoints.contract import DataFileRecord, DataRecord

_CHUNK = 1 << 20
_PATIENCE_SECONDS = 60.0
"""Time for a gateway to answer again."""
_PAUSE_SECONDS = 1.0


class DataWrong(Exception):
    """The bytes are not those of the version, or can never be had."""


class DataUnreachable(Exception):
    """The data cannot be had now. Another attempt may get it."""


class DataStopped(Exception):
    """The attempt is to end."""


class Fetching:
    """Copies the files of one dataset. ``tick`` is called for each portion with its bytes; it raises to stop."""

    def __init__(self, record: DataRecord, submission_id: str, tick: Callable[[int], None]) -> None:
        self._record = record
        self._submission_id = submission_id
        self._tick = tick
        self._gateway: Gateway | None = None

    def bring(self, directory: str) -> None:
        """Write all files below ``directory``.

        Raises:
            DataWrong, DataUnreachable: as the classes say.
        """
        try:
            for index, file in enumerate(self._record["files"]):
                target = os.path.join(directory, file["path"])
                os.makedirs(os.path.dirname(target), exist_ok=True)
                self._bring_one(index, file, target)
                os.chmod(target, 0o444)
        finally:
            if self._gateway is not None:
                self._gateway.close()

    def _bring_one(self, index: int, file: DataFileRecord, target: str) -> None:
        local = file.get("local")
        if local is None:
            found = self._download(index, file, target)
        else:
            try:
                found = self._link(local, target) if file.get("is_ours") else self._copy(local, target)
            except OSError as error:
                raise self._wrong(file, f"{local} cannot be read: {error.strerror or error}") from error
        if found != file["sha256"]:
            raise self._wrong(file, "has changed since it was added: it has another SHA-256 now")

    def _link(self, local: str, target: str) -> str:
        try:
            os.link(local, target)
        except OSError:  # Another file system.
            return self._copy(local, target)
        with open(target, "rb") as file:
            return self._hashed(file, None)

    def _copy(self, local: str, target: str) -> str:
        # The wrapper may read more than its script: never through a link that has taken the file's place.
        with open(open_regular(local), "rb") as file, open(target, "wb") as copy:
            return self._hashed(file, copy)

    def _hashed(self, file: BinaryIO, copy: BinaryIO | None) -> str:
        sha256 = hashlib.sha256()
        while chunk := file.read(_CHUNK):
            sha256.update(chunk)
            if copy is not None:
                copy.write(chunk)
            self._tick(len(chunk))
        return sha256.hexdigest()

    def _download(self, index: int, file: DataFileRecord, target: str) -> str:
        sha256, have, give_up = hashlib.sha256(), 0, time.monotonic() + _PATIENCE_SECONDS
        with open(target, "wb") as copy:
            while True:
                try:
                    answer = self._connected().data(f"{DATA}/{self._record['alias']}?index={index}&offset={have}")
                    while chunk := answer.read(_CHUNK):
                        sha256.update(chunk)
                        copy.write(chunk)
                        have += len(chunk)
                        give_up = time.monotonic() + _PATIENCE_SECONDS
                        self._tick(len(chunk))
                    if have >= file["bytes"]:
                        return sha256.hexdigest()
                    cause: Any = "the answer ended early"
                except Refused as error:
                    raise self._wrong(file, f"cannot be had: {error}") from error
                except (OSError, http.client.HTTPException, Unreachable) as error:
                    cause = error
                self._connected().close()
                if time.monotonic() > give_up:
                    raise DataUnreachable(f"{self._name(file)} does not come: {cause}")
                self._tick(0)
                time.sleep(_PAUSE_SECONDS)

    def _connected(self) -> Gateway:
        if self._gateway is None:
            url = os.environ.get(GATEWAY_VARIABLE)
            if not url:
                raise DataUnreachable("this node does not know the platform's address")
            self._gateway = Gateway(url, self._submission_id, attempt_token(ray_token(), self._submission_id))
        return self._gateway

    def _wrong(self, file: DataFileRecord, cause: str) -> DataWrong:
        return DataWrong(f"{self._name(file)} {cause}")

    def _name(self, file: DataFileRecord) -> str:
        return f"{file['path']} of the dataset {self._record['name']}@{self._record['version']}"
