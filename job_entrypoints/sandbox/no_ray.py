"""Tells a sandboxed script that calls ``ray.init`` how to get to Ray."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, NoReturn

SENTENCE = (
    'This job runs in a sandbox, which cannot reach Ray: upload it with isolation "cluster" '
    '(raylift train --isolation cluster; Client.train(…, isolation="cluster")).'
)


def refuse_init(module: ModuleType) -> None:
    """Replace ``ray.init``, which Ray's own functions call too when a script uses tasks or actors without it."""

    def init(*_: Any, **__: Any) -> NoReturn:
        raise RuntimeError(SENTENCE)

    vars(module)["init"] = init
