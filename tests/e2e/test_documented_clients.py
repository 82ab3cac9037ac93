"""The client snippets of docs/guides/predict.md, run as printed, and KServe's client."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pandas as pd
import pytest

from raylift.launcher.local_platform import LocalPlatform
from tests.e2e.kserve_environment import answers_to_kserve, python_with_kserve
from tests.e2e.protocol_models import Served

DOCUMENT = Path(__file__).parents[2] / "docs" / "guides" / "predict.md"
FLOWERS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]


def documented(served: Served, platform: LocalPlatform) -> dict[str, str]:
    """The snippets of docs/guides/predict.md by what stands above them, with this platform's addresses and names."""
    text = DOCUMENT.read_text(encoding="utf-8").partition("## Pick a client")[2].partition("\n## ")[0]
    blocks = re.findall(r"\*\*(.+?)\*\*[^\n]*\n\n```(?:python|bash)\n(.*?)```", text, re.DOTALL)
    port = str(urlsplit(served.url).port)
    replaced = {"127.0.0.1:8000": f"127.0.0.1:{port}", '"8000/': f'"{port}/', "127.0.0.1:8001": platform.urls["grpc"]}
    replaced |= {
        f"{before}{name}": f"{before}{served.name(name)}" for name in ("people", "iris") for before in ('"', "models/")
    }
    return {name: re.sub("|".join(map(re.escape, replaced)), lambda found: replaced[found[0]], code) for name, code in blocks}


def test_documented_snippets_run(platform: LocalPlatform, served: Served) -> None:
    snippets = documented(served, platform)
    curl = shlex.split(snippets.pop("curl"))
    # as curl sends it
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = httpx.post(curl[2], content=curl[curl.index("-d") + 1], headers=kind, timeout=120)
    frame = pd.DataFrame({"age": [45, 23], "city": ["Oslo", "Rome"]})
    assert answer.json()["predictions"] == served.expected("people", frame).tolist()
    started = {
        name: subprocess.Popen([sys.executable, "-W", "ignore", "-c", code], stdout=subprocess.PIPE, text=True)
        for name, code in snippets.items()
        if name != "KServe"
    }
    assert len(started) == 5
    for name, process in started.items():
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0, name
        if served.name("iris") in snippets[name]:
            assert said.strip() == str(served.expected("iris", FLOWERS)), name
        else:
            assert re.findall("yes|no", said) == served.expected("people", frame).tolist(), (name, said)


@pytest.mark.nightly
def test_kserve_client_gets_predictions(platform: LocalPlatform, served: Served, tmp_path: Path) -> None:
    """KServe's packages conflict with ours: the client runs in an environment of its own."""
    python = python_with_kserve(tmp_path)
    snippet = documented(served, platform)["KServe"]
    printed = subprocess.run([python, "-c", snippet], stdout=subprocess.PIPE, text=True, timeout=120, check=True).stdout
    assert printed.strip() == str(served.expected("iris", FLOWERS))
    said = answers_to_kserve(python, served.url, served.name("iris"), served.name("people"))
    classes = served.expected("iris", FLOWERS).tolist()
    cities = served.expected("people", pd.DataFrame({"age": [45, 23], "city": ["Oslo", "Rome"]})).tolist()
    refused = said.pop("refused, v1")
    assert said == {
        "live": True,
        "ready": True,
        "model ready": True,
        "model ready, v1": True,
        "no such model": False,
        "infer, binary False": classes,
        "infer, binary True": classes,
        "infer, a version": classes,
        "text": cities,
        "predict, v1": {"predictions": classes},
    }
    assert "4 features, got 1" in refused
    assert "400" in refused
