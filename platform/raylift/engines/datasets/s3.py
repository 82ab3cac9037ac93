"""Object stores with S3's protocol, by pyarrow."""

from __future__ import annotations

import configparser
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO, Final, cast

from raylift.dataset_settings import S3Settings

SCHEME: Final = "s3://"
_SECTION: Final = "default"


@dataclass(frozen=True, slots=True)
class S3Object:
    """An object in a list."""

    path: str
    """Below the address that was listed; empty for that itself."""
    size: int
    changed_at: float
    """Seconds since the epoch."""


class S3:
    """Objects by their addresses ``s3://bucket/key``. Every method raises OSError where the service refuses or is away."""

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings

    def open(self, address: str, offset: int = 0) -> BinaryIO:
        """Raises FileNotFoundError."""
        file = self._files.open_input_file(_path(address))
        file.seek(offset)
        return cast("BinaryIO", file)

    def create(self, address: str) -> BinaryIO:
        """Return a file that is uploaded in parts and appears when it is closed."""
        return cast("BinaryIO", self._files.open_output_stream(_path(address)))

    def info(self, address: str) -> S3Object | None:
        """Return an object's size and time; None where there is none."""
        found = self._files.get_file_info(_path(address))
        return _object(found, "") if found.is_file else None

    def below(self, address: str) -> Iterator[S3Object]:
        """Yield the objects below an address."""
        from pyarrow.fs import FileSelector

        base = _path(address)
        selector = FileSelector(base, recursive=True, allow_not_found=True)
        for found in self._files.get_file_info(selector):
            if found.is_file:
                yield _object(found, found.path[len(base) + 1 :])

    def remove(self, address: str) -> None:
        if self.info(address) is not None:
            self._files.delete_file(_path(address))

    @cached_property
    def _files(self) -> Any:
        # Only platforms with an object store pay for the import.
        from pyarrow.fs import S3FileSystem

        scheme, _, host = (self._settings.endpoint or "").rpartition("://")
        options: dict[str, Any] = {"endpoint_override": host, "scheme": scheme or "https"} if host else {}
        if self._settings.region is not None:
            options["region"] = self._settings.region
        if self._settings.credentials_file is not None:
            key, secret = self._credentials()
            options |= {"access_key": key, "secret_key": secret}
        return S3FileSystem(**options, connect_timeout=10, request_timeout=60)

    def _credentials(self) -> tuple[str, str]:
        file = configparser.ConfigParser(interpolation=None)
        path = cast("Any", self._settings.credentials_file)
        try:
            file.read_string(path.expanduser().read_text(encoding="utf-8"))
            return file[_SECTION]["aws_access_key_id"], file[_SECTION]["aws_secret_access_key"]
        except (configparser.Error, KeyError, UnicodeDecodeError) as error:
            raise OSError(f"{path} has no aws_access_key_id and aws_secret_access_key in a section [{_SECTION}]") from error


def _path(address: str) -> str:
    return address.removeprefix(SCHEME).rstrip("/")


def _object(found: Any, path: str) -> S3Object:
    return S3Object(path, found.size or 0, found.mtime_ns / 1e9 if found.mtime_ns else 0.0)
