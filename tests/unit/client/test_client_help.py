"""``help(Client)``."""

from __future__ import annotations

import pydoc

from raylift import Client
from raylift.client.prediction import Prediction

PARTS = ("jobs", "sweeps", "models", "deployments", "traffic", "environments", "keys", "audit", "secrets")


def test_help_documents_the_parts_of_a_client() -> None:
    text = pydoc.plain(pydoc.render_doc(Client))
    for part in PARTS:
        documented = getattr(Client, part)
        assert documented.__doc__ and documented.__doc__ in text, part
    client = Client("http://x")
    assert {part for part in PARTS if getattr(client, part) is getattr(client, part)} == set(PARTS)
    client.close()


def test_every_public_method_of_a_part_has_a_docstring() -> None:
    client = Client("http://x")
    objects = [Client, Prediction, *(type(getattr(client, part)) for part in PARTS)]
    client.close()
    bare = [
        f"{kind.__name__}.{name}"
        for kind in objects
        for name, value in vars(kind).items()
        if not name.startswith("_") and callable(value) and not value.__doc__
    ]
    assert not bare
