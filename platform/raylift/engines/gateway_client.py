"""Calls the platform's own API, as its clients do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import httpx

from raylift.api.headers import CHECKED, INGRESS, SCALE_UP_TIMEOUT
from raylift.api.paths import version_route
from raylift.domain.errors import EngineUnavailable

_MARGIN_SECONDS: Final = 5.0


class GatewayClient:
    """Args: the platform's address; the ingress's token, which spares it a key; a transport for tests."""

    def __init__(
        self, gateway_url: str, transport: httpx.BaseTransport | None = None, *, ingress_token: str | None = None
    ) -> None:
        headers = {} if ingress_token is None else {INGRESS: ingress_token, CHECKED: "1"}
        self._http = httpx.Client(base_url=gateway_url, headers=headers, transport=transport, trust_env=False)

    def metadata(self, model_name: str, version: str, *, seconds: float) -> Mapping[str, Any] | None:
        """Metadata of a version in the Open Inference Protocol. Starts a replica if there is none.

        Returns:
            The metadata; None if the version does not load within ``seconds``.

        Raises:
            EngineUnavailable: The gateway does not answer.
        """
        try:
            answer = self._http.get(
                version_route(model_name, version),
                headers={SCALE_UP_TIMEOUT: f"{seconds:g}"},
                timeout=seconds + _MARGIN_SECONDS,
            )
        except httpx.HTTPError as error:
            raise EngineUnavailable(f"The gateway does not answer: {error}") from error
        return answer.json() if answer.is_success else None
