"""The code of an upload: a script, a notebook, a project with its entrypoint, or a shell command. Nothing is executed."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Final

from raylift.domain.errors import FieldError, InvalidRequest
from raylift.domain.project import ProjectFile, UnsafePath, checked_path
from raylift.services.uploads.archives import read_project
from raylift.services.uploads.environment_variables import check_arguments
from raylift.services.uploads.magics import translate_exported
from raylift.services.uploads.notebooks import SUFFIX as NOTEBOOK
from raylift.services.uploads.notebooks import read_notebook
from raylift.services.uploads.request import UploadRequest
from raylift.services.uploads.scripts import FIELD as SCRIPT_FIELD
from raylift.services.uploads.scripts import check_size, decode_script, script_error
from raylift.settings import JobSettings

COMMAND_SCRIPT_NAME: Final = "entrypoint.sh"
"""Name of the stored script that holds a command."""
_ENTRYPOINT: Final = "entrypoint"


@dataclass(frozen=True, slots=True)
class Source:
    """Code that a job runs, and the errors that were found in it."""

    script: bytes = b""
    files: Mapping[str, ProjectFile] | None = None
    """Files of the project by path; None for a single script."""
    entrypoint: str | None = None
    """Path of the script in the project."""
    errors: Sequence[FieldError] = ()
    packages: Sequence[str] = ()
    """Requirements of the ``%pip install`` lines of a notebook."""


def read_source(request: UploadRequest, settings: JobSettings) -> Source:
    """Read the code of a request. Errors are in the result.

    Raises:
        TooLarge: the script or the project is over its limit.
    """
    if request.project is None:
        return _of_command(request.command) if request.command is not None else _single_script(request, settings)
    try:
        files = read_project(request.project, settings)
    except InvalidRequest as error:
        return Source(errors=error.errors)
    return _of_command(request.command, files) if request.command is not None else _in_project(request, files, settings)


def script_name(request: UploadRequest, source: Source) -> str:
    """Return the file name under which the script is stored."""
    if request.command is not None:
        return COMMAND_SCRIPT_NAME
    if source.entrypoint:
        return PurePosixPath(source.entrypoint).name
    return f"{request.script_name}.py" if request.script_name.endswith(NOTEBOOK) else request.script_name


def _single_script(request: UploadRequest, settings: JobSettings) -> Source:
    if request.entrypoint is not None:
        return Source(errors=[FieldError(_ENTRYPOINT, "names a script in a project; there is no part 'project'")])
    script = decode_script(request.script_content, request.script_encoding, max_bytes=settings.max_script_bytes)
    if isinstance(script, FieldError):
        return Source(errors=[script])
    return _compiled(Source(script), request.script_name, SCRIPT_FIELD)


def _in_project(request: UploadRequest, files: Mapping[str, ProjectFile], settings: JobSettings) -> Source:
    entrypoint = find_entrypoint(request.entrypoint, files)
    if isinstance(entrypoint, FieldError):
        return Source(errors=[entrypoint])
    script = files[entrypoint].content
    check_size(len(script), settings.max_script_bytes)
    return _compiled(Source(script, files, entrypoint), entrypoint, _ENTRYPOINT)


def _of_command(command: str, files: Mapping[str, ProjectFile] | None = None) -> Source:
    errors = [FieldError(_ENTRYPOINT, error.detail) for error in check_arguments([command])]
    return Source(command.encode(), files, errors=errors)


def _compiled(source: Source, name: str, field: str) -> Source:
    """Return plain Python: a notebook becomes the script of its cells. Compile errors are added."""
    if name.endswith(NOTEBOOK):
        return _notebook(source, name, field)
    exported = translate_exported(source.script.decode("utf-8", "surrogateescape"))
    error = script_error(source.script, name, field=field)
    if error is not None or not (exported.problems or exported.packages or b"get_ipython()" in source.script):
        return replace(source, errors=[error] if error else [])
    errors = [FieldError(field, f"line {line}: {said}", line=line) for line, said in exported.problems]
    script = "\n".join(exported.lines).encode("utf-8", "surrogateescape")
    files = source.files
    if source.entrypoint is not None and files is not None:
        files = {**files, source.entrypoint: replace(files[source.entrypoint], content=script)}
    return replace(source, script=script, files=files, packages=exported.packages, errors=errors)


def _notebook(source: Source, name: str, field: str) -> Source:
    notebook = read_notebook(source.script, PurePosixPath(name).name, field_name=field)
    script, packages, errors = notebook.script, notebook.packages, notebook.errors
    if source.entrypoint is None or source.files is None:
        return replace(source, script=script, packages=packages, errors=errors)
    path = f"{source.entrypoint}.py"
    if path in source.files:
        errors = [*errors, FieldError(field, f"is run as {path!r}, which the project has already: rename that")]
    files = {**source.files, path: ProjectFile(path, script)}
    return replace(source, script=script, files=files, entrypoint=path, packages=packages, errors=errors)


def find_entrypoint(name: str | None, paths: Collection[str]) -> str | FieldError:
    """Return the path of the entrypoint in the project, or the error in ``name``."""
    if not name:
        detail = f"is required with a project: the path of the script in it{_suggestion('train.py', paths)}"
        return FieldError(_ENTRYPOINT, detail)
    try:
        path = checked_path(name)
    except UnsafePath as error:
        return FieldError(_ENTRYPOINT, str(error))
    if not path.endswith((".py", NOTEBOOK)):
        return FieldError(_ENTRYPOINT, f"is {path!r}, which is neither a Python file nor a notebook")
    if path not in paths:
        return FieldError(_ENTRYPOINT, f"is {path!r}, which is not in the project{_suggestion(path, paths)}")
    return path


def _suggestion(wanted: str, paths: Collection[str]) -> str:
    """Suggest a script of that name in a subfolder: many archives have one folder around everything."""
    scripts = sorted((path for path in paths if path.endswith(".py")), key=lambda path: (path.count("/"), path))
    named = [path for path in scripts if PurePosixPath(path).name == PurePosixPath(wanted).name]
    close = named or difflib.get_close_matches(wanted, scripts, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
