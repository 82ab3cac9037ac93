from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

REPORT = """
import json
from job_entrypoints.tracking.numerics import numerics
print(json.dumps([numerics(), "numpy" in sys.modules]))
"""


def reported(before: str, **environment: str) -> tuple[dict[str, Any], bool]:
    """Numerics that a new process reports, and True if it has imported NumPy."""
    command = [sys.executable, "-c", f"import sys\n{before}{REPORT}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **environment})
    found, has_numpy = json.loads(done.stdout)
    return found, has_numpy


def test_process_without_numpy_reports_and_imports_nothing() -> None:
    assert reported("") == ({}, False)


def test_process_with_numpy_reports_its_version_and_kernels() -> None:
    import numpy

    found, _ = reported("import numpy")
    assert found["numpy"] == numpy.__version__
    assert found["blas"]
    assert all(kernel.keys() == {"name", "version", "architecture", "of"} for kernel in found["blas"])


def test_kernel_is_the_one_of_the_environment_variable() -> None:
    seen = "import numpy, threadpoolctl; print([one['architecture'] for one in threadpoolctl.threadpool_info()]); sys.exit()"
    chosen = {"OPENBLAS_CORETYPE": "Prescott"}
    command = [sys.executable, "-c", f"import sys; {seen}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **chosen})
    found, _ = reported("import numpy", **chosen)
    assert str([kernel["architecture"] for kernel in found["blas"]]) == done.stdout.strip()


def test_only_the_numpy_version_is_known_without_threadpoolctl() -> None:
    found, _ = reported("import numpy; sys.modules['threadpoolctl'] = None")
    assert found["blas"] == []
