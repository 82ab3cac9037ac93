"""Check the console: types against the platform's own OpenAPI document, then its unit tests. Installs what that needs."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from console import ROOT, STAMP, STATIC, WEB, ConsoleNotBuilt, build, fingerprint, install, is_complete, run_tool

sys.path[:0] = [str(ROOT), str(ROOT / "platform")]

SCHEMA = Path("src", "api", "schema.d.ts")
FIRST_PAGE_BYTES = 150_000


def main() -> int:
    try:
        if not is_complete():
            install()
        build()
        document = ROOT / "build" / "openapi.json"
        document.parent.mkdir(exist_ok=True)
        document.write_text(json.dumps(openapi()), encoding="utf-8")
        run_tool("node_modules/openapi-typescript/bin/cli.js", str(document), "--output", str(SCHEMA))
        run_tool("node_modules/typescript/bin/tsc", "--noEmit")
        print(run_tool("node_modules/vitest/vitest.mjs", "run"))
        check_size()
        check_pictures()
    except ConsoleNotBuilt as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def check_pictures() -> None:
    """Say that the pictures show older sources. No failure: not every change is seen."""
    stamp = ROOT / "docs" / "pictures" / STAMP
    if not stamp.is_file() or stamp.read_text(encoding="ascii") != fingerprint(ROOT / WEB):
        print("note: the console has changed since the pictures in docs/pictures were taken: make pictures")


def openapi() -> object:
    """Return the document of the gateway. Nothing is started, and nothing is called."""
    from raylift.engines.mlflow_engine.registry import Registry
    from raylift.engines.ray_engine.cluster import Cluster
    from raylift.services.container import Services
    from raylift.settings import PlatformSettings
    from raylift.store import Store
    from serve_apps.gateway.rest_api import create_app

    nowhere = "http://127.0.0.1:9"
    with tempfile.TemporaryDirectory() as folder:
        settings = PlatformSettings(
            state_dir=Path(folder),
            database_url=f"sqlite:///{folder}/store.db",
            mlflow_url=nowhere,
            ray_dashboard_url=nowhere,
            gateway_url=nowhere,
        )
        store = Store.open(settings.database_url)
        services = Services.assemble(settings, store=store, registry=Registry(nowhere), cluster=Cluster(0.0))
        document = create_app(services).openapi()
        services.health.close()
        store.close()
        return document


def check_size() -> None:
    """Raise ConsoleNotBuilt where the first page is too large over the wire."""
    first = (ROOT / STATIC / "index.html").read_text(encoding="utf-8")
    packed = [path for path in (ROOT / STATIC / "assets").glob("*.gz") if path.name.removesuffix(".gz") in first]
    size = sum(path.stat().st_size for path in packed)
    print(f"first page: {size / 1000:.0f} kB, compressed")
    if not packed or size > FIRST_PAGE_BYTES:
        raise ConsoleNotBuilt(f"The first page has {size} bytes; {FIRST_PAGE_BYTES} are allowed. See {WEB}.")


if __name__ == "__main__":
    sys.exit(main())
