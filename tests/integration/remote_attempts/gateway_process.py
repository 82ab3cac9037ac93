"""A gateway as a process of its own: ``python gateway_process.py SETTINGS_JSON PORT``. Its engines are fakes."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn

from raylift.services.container import Services
from raylift.settings import PlatformSettings
from raylift.store import Store
from serve_apps.gateway.rest_api import create_app
from tests.unit.gateway.engine_fakes import FakeCluster, FakeRegistry


def main(settings_file: str, port: str) -> None:
    settings = PlatformSettings.model_validate_json(Path(settings_file).read_text())
    store = Store.open(settings.database_url)
    services = Services.assemble(settings, store=store, registry=FakeRegistry(), cluster=FakeCluster())
    uvicorn.run(create_app(services), host="127.0.0.1", port=int(port), log_level="warning", access_log=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
