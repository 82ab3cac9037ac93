"""The Helm chart, rendered by Helm itself and checked strictly against Kubernetes' schemas. No test has a cluster."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml

from raylift.launcher.run.config import load_config
from raylift.settings import AuthMode

CHART: Final = Path(__file__).resolve().parents[2] / "cluster_configs" / "helm" / "raylift"
KUBERNETES: Final = ("1.29", "1.33", "1.37")
"""Versions whose schemas are checked."""

# The first two of each are combined with those of all others; a third is tried alone.
CHOICES: Final[list[list[dict[str, Any]]]] = [
    [{}, {"resources": {"gpus": 2}, "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}]}],
    [{}, {"persistence": {"existingClaim": "mine"}}, {"persistence": {"storageClass": "fast", "size": "1Ti"}}],
    [{}, {"database": {"existingSecret": "pg"}, "secretsKeys": {"existingSecret": "keys"}}],
    [
        {},
        {
            "ingress": {
                "enabled": True,
                "host": "ml.example.org",
                "className": "nginx",
                "tlsSecret": "tls",
                "annotations": {"a/b": "c"},
            }
        },
        {"ingress": {"enabled": True, "host": "ml.example.org"}},
    ],
    [
        {},
        {
            "networkPolicy": {
                "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}],
                "to": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}],
            }
        },
        {"networkPolicy": {"enabled": False}},
    ],
    [
        {},
        {
            "config": {"jobs": {"max_timeout_seconds": 7200}, "gateway": {"allowed_hosts": ["other.example"], "replicas": 2}},
            "service": {"type": "LoadBalancer", "port": 8080},
            "image": {"tag": "1.0", "pullSecrets": ["registry"]},
            "nodeSelector": {"pool": "ml"},
            "affinity": {"nodeAffinity": {}},
            "priorityClassName": "high",
            "podAnnotations": {"x/y": "z"},
        },
    ],
]


def helm(*arguments: str, values: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    program = shutil.which("helm", path=str(Path(sys.executable).parent)) or shutil.which("helm")
    assert program is not None, "there is no helm: python .ci/helm.py"
    given = ["--values", "-"] if values is not None else []
    return subprocess.run(
        [program, *arguments, *given], input=json.dumps(values), capture_output=True, text=True, check=False, timeout=60
    )


def render(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the manifests by kind."""
    done = helm("template", "credit", str(CHART), "--namespace", "ml", values=values)
    assert done.returncode == 0, done.stderr
    found = [document for document in yaml.safe_load_all(done.stdout) if document is not None]
    by_kind = {document["kind"]: document for document in found}
    assert len(by_kind) == len(found)
    return by_kind


def merged(parts: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    return {name: value for part in parts for name, value in part.items()}


MATRIX: Final = [
    *(merged(parts) for parts in itertools.product(*(choice[:2] for choice in CHOICES))),
    *(choice[2] for choice in CHOICES if len(choice) > 2),
]


def test_chart_passes_the_linter() -> None:
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("values", MATRIX, ids=lambda _: "")
def test_every_manifest_is_valid_for_kubernetes(values: dict[str, Any]) -> None:
    manifests = render(values)
    wanted = {"StatefulSet", "Service", "ConfigMap"}
    wanted |= {"Ingress"} if "ingress" in values else set()
    wanted |= {"NetworkPolicy"} if values.get("networkPolicy", {}).get("enabled", True) else set()
    assert manifests.keys() == wanted
    for manifest in manifests.values():
        kubernetes_validate.validate(manifest, KUBERNETES[-1], strict=True)


@pytest.mark.parametrize("version", KUBERNETES)
def test_manifests_are_valid_for_older_kubernetes(version: str) -> None:
    for manifest in render(merged(tuple(choice[1] for choice in CHOICES))).values():
        kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize(
    ("kind", "path", "field"),
    [
        ("StatefulSet", ["spec", "template", "spec", "containers", 0], "imagePullPolice"),
        ("NetworkPolicy", ["spec"], "ingres"),
        ("Service", ["spec"], "selektor"),
    ],
)
def test_a_misspelt_field_is_found(kind: str, path: list[Any], field: str) -> None:
    manifest = place = render({})[kind]
    for step in path:
        place = place[step]
    place[field] = "x"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, KUBERNETES[-1], strict=True)


@pytest.mark.parametrize(
    "values",
    [
        {"replicas": 2},
        {"resources": {"memory": "lots"}},
        {"jobs": {"cpus": 0}},
        {"config": {"auth": "local"}},
        {"config": {"host": "127.0.0.1"}},
        {"ingress": {"enabled": True}},
        {"service": {"type": "ExternalName"}},
        {"image": {"repository": ""}},
    ],
)
def test_wrong_values_are_refused(values: dict[str, Any]) -> None:
    done = helm("template", "credit", str(CHART), values=values)
    assert done.returncode != 0
    assert "values don't meet the specifications of the schema" in done.stderr


@pytest.mark.parametrize("values", [{}, merged(tuple(choice[1] for choice in CHOICES))], ids=["default", "everything"])
def test_platform_accepts_its_configuration(values: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "raylift.yaml"
    file.write_text(render(values)["ConfigMap"]["data"]["raylift.yaml"])
    config = load_config(file)
    assert config.auth is AuthMode.KEYS
    assert config.resources.cpus == 3
    assert "credit-raylift.ml.svc" in config.gateway.allowed_hosts
    assert ("ml.example.org" in config.gateway.allowed_hosts) == ("ingress" in values)
    assert ("other.example" in config.gateway.allowed_hosts) == ("config" in values)


def test_pod_meets_the_restricted_security_standard() -> None:
    pod = render({})["StatefulSet"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert not [volume for volume in pod["volumes"] if "hostPath" in volume]
    assert pod["automountServiceAccountToken"] is False


def test_requests_are_limits() -> None:
    (container,) = render({"resources": {"gpus": 1}})["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    asked = {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"}
    assert container["resources"] == {"requests": asked, "limits": asked}


def test_probes_call_the_platform_by_a_name_it_answers_to() -> None:
    (container,) = render({})["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["httpHeaders"] == [{"name": "Host", "value": "localhost"}]


def test_settings_restart_the_pod() -> None:
    def mark(values: dict[str, Any]) -> str:
        return render(values)["StatefulSet"]["spec"]["template"]["metadata"]["annotations"]["raylift.io/config-sha256"]

    assert mark({}) == mark({"service": {"port": 81}}) != mark({"jobs": {"cpus": 2, "memory": "8GiB"}})
