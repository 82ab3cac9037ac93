"""`raylift up`: Ray, MLflow and the platform's own processes on one machine."""

from __future__ import annotations

from raylift.launcher.errors import LauncherError, PortTaken
from raylift.launcher.local_platform import LocalPlatform
from raylift.launcher.run.config import LocalConfig, load_config

__all__ = ["LauncherError", "LocalConfig", "LocalPlatform", "PortTaken", "load_config"]
