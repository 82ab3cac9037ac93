"""Which models' requests the ingress may send straight to one version: a pure function of the store's rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from raylift.domain.deployment import Deployment
from raylift.domain.identifiers import MODEL_NAME, version_route
from raylift.services.models import version_number


def name_routes(
    rows: Iterable[Deployment], *, divided: Collection[str] = (), leaving: Collection[tuple[str, str]] = ()
) -> dict[str, str]:
    """Model → the route of the one version that answers for it, as the gateway would choose it.

    A model is left out, and so left to the gateway, while its newest version that answers has no process, while its name could
    mean something else in a path, and while ``divided`` names it.

    Args:
        rows: all deployments.
        divided: models whose requests a traffic table divides or copies.
        leaving: (model, version) of applications that are about to be taken down.
    """
    newest: dict[str, Deployment] = {}
    for row in rows:
        known = newest.get(row.model_name)
        if row.answers and (known is None or version_number(row.version) > version_number(known.version)):
            newest[row.model_name] = row
    return {
        name: version_route(name, row.version)
        for name, row in sorted(newest.items())
        if row.replicas > 0 and MODEL_NAME.fullmatch(name) and name not in divided and (name, row.version) not in leaving
    }
