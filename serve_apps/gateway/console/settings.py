"""``/mlops/settings``: the effective settings."""

from __future__ import annotations

from fastapi import APIRouter, Response

from raylift.api.cluster.settings import SettingsView
from raylift.api.paths import SETTINGS
from raylift.services.cluster.shown_settings import shown_settings, versions
from raylift.services.container import Services
from serve_apps.gateway.access.permissions import Action, needs
from serve_apps.gateway.http.responses import json_response


def settings_router(services: Services) -> APIRouter:
    router = APIRouter(tags=["platform"])

    @router.get(
        SETTINGS, responses={200: {"model": SettingsView}}, dependencies=[needs(services, Action.ADMINISTER)]
    )
    def settings() -> Response:
        """Show the effective settings and the versions. Secrets are masked."""
        return json_response(SettingsView(versions=versions(), settings=shown_settings(services.settings)))

    return router
