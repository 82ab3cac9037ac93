"""Confines uv where it may build a package: the package's code then reaches its build, and nothing of the platform."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from job_entrypoints import contract
from job_entrypoints.contract import INSTANCE_VARIABLE, REFUSED_PORTS_VARIABLE

_KEPT: Final = frozenset(
    {
        "HOME",
        "LANG",
        "LANGUAGE",
        "LOGNAME",
        "PATH",
        "SHELL",
        "TERM",
        "TZ",
        "USER",
        "CC",
        "CXX",
        "FC",
        "NETRC",
        INSTANCE_VARIABLE,
        "SPT_NOENV",
    }
)
_KEPT_PREFIXES: Final = (
    *(
        "CARGO",
        "CFLAGS",
        "CMAKE_",
        "CONDA_",
        "CPPFLAGS",
        "CUDA",
        "CURL_",
        "CXXFLAGS",
        "GIT_",
        "LC_",
        "LDFLAGS",
        "LD_LIBRARY_PATH",
    ),
    *("NVIDIA_", "PIP_", "PKG_CONFIG", "REQUESTS_", "RUST", "SETUPTOOLS_", "SSL_", "UV_", "XDG_"),
)
_PROXIES: Final = ("_proxy", "_PROXY")
_SETTINGS: Final = (
    *(".netrc", ".gitconfig", ".config/git", ".config/uv", ".config/pip", ".pip", ".pydistutils.cfg", ".cargo", ".rustup"),
    ".local",
)
"""Settings of installers and compilers, below the home directory."""
_SYSTEM_SETTINGS: Final = ("/etc/uv", "/etc/pip.conf", "/etc/gitconfig", "/etc/ssl", "/etc/xdg/uv", "/etc/xdg/pip")
_NAMED_FILES: Final = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NETRC",
    "UV_CONFIG_FILE",
    "PIP_CONFIG_FILE",
)
_NAMED_FOLDERS: Final = ("UV_FIND_LINKS", "PIP_FIND_LINKS")
_BUILD: Final = Path(contract.__file__).parent / "sandbox" / "build.py"
_HAPROXY_SOCKET: Final = "RAY_SERVE_HAPROXY_SOCKET_PATH"


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that installers and compilers read; none of the platform's."""
    return {
        name: value
        for name, value in environment.items()
        if name in _KEPT or name.startswith(_KEPT_PREFIXES) or name.endswith(_PROXIES)
    }


def confined(
    command: Sequence[str], environment: Mapping[str, str], *, writes: Sequence[Path], reads: Sequence[Path] = ()
) -> list[str]:
    """Return the command that runs ``command`` confined.

    Args:
        command: uv and its arguments.
        environment: variables of the platform's process, which name its ports and sockets.
        writes: folders that it may write; they exist.
        reads: further paths that it may read.
    """
    home = Path(environment.get("HOME", "/nonexistent"))
    named = [environment[name] for name in _NAMED_FILES if environment.get(name)]
    links = [
        part for name in _NAMED_FOLDERS for part in environment.get(name, "").replace(",", " ").split() if "://" not in part
    ]
    read = [*(home / name for name in _SETTINGS), *_SYSTEM_SETTINGS, *named, *links, *reads, Path(command[0]).resolve().parent]
    socket = environment.get(_HAPROXY_SOCKET)
    request = {
        "read": [str(path) for path in read],
        "write": [str(path) for path in writes],
        "hide": [str(Path(socket).parent)] if socket else [],
        "ports": environment.get(REFUSED_PORTS_VARIABLE, ""),
    }
    return [sys.executable, "-I", "-S", str(_BUILD), json.dumps(request), *command]
