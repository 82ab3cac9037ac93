"""Hook of the build: the console's static files are made before a wheel, an editable install or a source distribution."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent))
from console import ConsoleNotBuilt, build

REQUIRED = "RAYLIFT_REQUIRE_CONSOLE"


class ConsoleHook(BuildHookInterface[Any]):
    """Builds the console. Without npm the install goes on: ``/console/`` and ``raylift doctor`` then say what is missing."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        try:
            build(Path(self.root))
        except ConsoleNotBuilt as error:
            if os.environ.get(REQUIRED):
                raise
            self.app.display_warning(f"The console was not built: {error}")
