"""Checks of a machine that joins: it has to run the same code as the others."""

from __future__ import annotations

from raylift.api.cluster.join import NodeVersions
from raylift.launcher.errors import LauncherError

_MOST_NAMED = 5


class MachineDiffers(LauncherError):
    """This machine would run other code than the platform's."""


def require_same(wanted: NodeVersions, here: NodeVersions) -> None:
    """Raise MachineDiffers unless Python, Ray, Raylift and the packages of the base are those of the platform.

    Ray refuses another Python or Ray only after it has started. Environments are built on the base, so a job or a replica would
    import other packages here.
    """
    for name, theirs, ours in (
        ("Python", wanted.python, here.python),
        ("Ray", wanted.ray, here.ray),
        ("Raylift", wanted.raylift, here.raylift),
    ):
        if theirs != ours:
            raise MachineDiffers(
                f"The platform has {name} {theirs}, and this machine has {ours}.", hint=f"Install {name} {theirs} here."
            )
    differ = [
        f"{name} {version} (here: {here.packages.get(name, 'none')})"
        for name, version in wanted.packages.items()
        if here.packages.get(name) != version
    ]
    if differ:
        more = f" and {len(differ) - _MOST_NAMED} more" if len(differ) > _MOST_NAMED else ""
        raise MachineDiffers(
            f"The platform's base environment has packages that this machine lacks: {', '.join(differ[:_MOST_NAMED])}{more}.",
            hint="Install the same here: `pip freeze` on the platform's machine, `pip install -r` on this one.",
        )
