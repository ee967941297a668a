"""The Kubernetes manifests: rendered by kubectl, held against Kubernetes' schemas, and their settings run.

kubectl (1.21 or newer) must be there; no cluster is asked.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from container_engine import PROJECT, run
from documented_commands import commands
from servers import RedisServer, wait_until
from stack import Exporter, beat, fetch

MANIFESTS = PROJECT / "deploy" / "kubernetes"
FOLDERS = ["exporter", "monitoring", "beat"]
DASHBOARDS = PROJECT / "grafana" / "dashboards"
# Kinds of the Prometheus operator: their schemas are not among Kubernetes'.
OPERATOR = "monitoring.coreos.com/v1"
SECRETS = "/run/secrets/celery-beat-exporter"
SECONDS = 60.0  # longest wait for something that normally takes a moment


def rendered(folder: str) -> list[dict]:
    return list(yaml.safe_load_all(run("kubectl", "kustomize", MANIFESTS / folder, timeout=60)))


def only(kind: str, folder: str) -> dict:
    (one,) = [one for one in rendered(folder) if one["kind"] == kind]
    return one


def containers() -> Iterator[tuple[dict, dict]]:
    """Each pod and each of its containers."""
    for folder in FOLDERS:
        for one in rendered(folder):
            if one["kind"] == "Deployment":
                pod = one["spec"]["template"]["spec"]
                for container in pod["containers"]:
                    yield pod, container


@pytest.mark.parametrize("folder", FOLDERS)
def test_is_valid(folder: str) -> None:
    for one in rendered(folder):
        if one["apiVersion"] != OPERATOR:
            kubernetes_validate.validate(one, "1.37", strict=True)


def test_pods_keep_the_restricted_standard() -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/, and some more."""
    for pod, container in containers():
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] != 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"hostNetwork", "hostPID", "hostIPC"}.isdisjoint(pod)
        volumes = {kind for volume in pod["volumes"] for kind in volume if kind != "name"}
        assert volumes <= {"configMap", "secret", "emptyDir"}
        assert not any("hostPort" in port for port in container.get("ports", []))
        assert pod["automountServiceAccountToken"] is False
        assert "memory" in container["resources"]["limits"]


def test_service_and_monitor_find_the_exporter() -> None:
    pod = only("Deployment", "exporter")["spec"]["template"]
    service = only("Service", "exporter")
    monitor = only("ServiceMonitor", "monitoring")
    policy = only("NetworkPolicy", "exporter")
    (port,) = pod["spec"]["containers"][0]["ports"]
    labels = pod["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]
    assert policy["spec"]["ingress"][0]["ports"] == [{"port": port["name"]}]
    selector = monitor["spec"]["selector"]["matchLabels"]
    assert selector.items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
    # The rules look for this job, which Prometheus takes from the service's name.
    assert service["metadata"]["name"] == "celery-beat-exporter"


def test_rules_are_the_ones_rules_file(folder: Path) -> None:
    rule = only("PrometheusRule", "monitoring")
    assert rule["spec"] == yaml.safe_load((PROJECT / "alerts/celery-beat.rules.yml").read_text())
    made = run(MANIFESTS / "prometheus-rule", timeout=60)
    assert made == (MANIFESTS / "monitoring" / "prometheusrule.yaml").read_text().strip()
    (folder / "rules.yml").write_text(yaml.safe_dump(rule["spec"]))
    run("promtool", "check", "rules", folder / "rules.yml", timeout=60)


def test_every_dashboard_is_there() -> None:
    maps = [one for one in rendered("monitoring") if one["kind"] == "ConfigMap"]
    data = {name: text for one in maps for name, text in one["data"].items()}
    assert data == {path.name: path.read_text() for path in DASHBOARDS.glob("*.json")}
    assert all(one["metadata"]["labels"] == {"grafana_dashboard": "1"} for one in maps)
    # `kubectl apply` keeps a copy in an annotation, which may not be longer.
    assert max(map(len, data.values())) < 262_144


def documented(folder: Path) -> list[dict]:
    """What the kustomization of docs/install.md makes."""
    text = (PROJECT / "docs" / "install.md").read_text()
    (example,) = re.findall(r"```yaml\n(# kustomization.yaml\n.*?)```", text, re.DOTALL)
    # Here the manifests are those of this tree. kustomize takes relative paths only.
    example = re.sub(
        r"https://github.com/\S+//deploy", f"{os.path.relpath(PROJECT, folder)}/deploy", example
    )
    (folder / "kustomization.yaml").write_text(example)
    return list(yaml.safe_load_all(run("kubectl", "kustomize", folder, timeout=60)))


def test_example_of_the_documentation_renders(folder: Path) -> None:
    all_of_it = documented(folder)
    assert {one["metadata"]["namespace"] for one in all_of_it} == {"shop"}
    (deployment,) = [one for one in all_of_it if one["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example.com/celery-beat-exporter:0.1.0"
    assert {one["name"].removeprefix("CELERY_BEAT_EXPORTER_") for one in container["env"]} == {
        "BROKER_URL_FILE",
        "BEAT_SCHEDULER",
        "BEAT_MAX_LOOP_INTERVAL",
    }


def test_kubectl(folder: Path) -> None:
    """Each command of the documentation is one: it fails only where it wants to reach a cluster."""
    (folder / "kustomization.yaml").write_text(
        f"resources: [{os.path.relpath(MANIFESTS / 'exporter', folder)}]\n"
    )
    nowhere = "127.0.0.1:1"
    environment = {**os.environ, "KUBECONFIG": str(folder / "none"), "HOME": str(folder)}
    for command in commands("packaging/test_kubernetes.py::test_kubectl"):
        command = re.sub(r"\bPOD\b", "beat-0", command)
        words = shlex.split(command.replace("kubectl", f"kubectl --server=http://{nowhere}", 1))
        done = subprocess.run(
            words,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 1, command
        assert re.search(f"{nowhere}( was refused|: connect)", done.stderr), done.stderr


def test_exporter_runs_with_these_settings(folder: Path) -> None:
    """Those of the documentation, in which the example of beat is watched, without a database."""
    (deployment,) = [one for one in documented(folder) if one["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    with RedisServer(folder) as redis, beat(folder, broker_url=redis.url):
        (folder / "broker-url").write_text(redis.url + "\n")
        environment = {
            one["name"]: one["value"].replace(SECRETS, str(folder)) for one in container["env"]
        }
        assert str(folder) in environment["CELERY_BEAT_EXPORTER_BROKER_URL_FILE"]
        with Exporter(folder, environment=environment) as exporter:

            def interval() -> float | None:
                label = frozenset({("scheduler", "redbeat")})
                return exporter.metrics().get(("celery_beat_max_loop_interval_seconds", label))

            assert wait_until(interval, SECONDS, "the exporter to see beat") == 60
            for probe in ("livenessProbe", "readinessProbe"):
                assert container[probe]["httpGet"]["port"] == "http"
                fetch(exporter.url + container[probe]["httpGet"]["path"])


def test_example_beat_is_alone_and_asked() -> None:
    deployment = only("Deployment", "beat")
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (script,) = only("ConfigMap", "beat")["data"]
    assert container["livenessProbe"]["exec"]["command"] == ["python", f"/probes/{script}"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
    name = only("ConfigMap", "beat")["metadata"]["name"]
    assert mounts["/probes"]["configMap"] == {"name": name}
    assert "emptyDir" in mounts["/tmp"]
    # A shell before beat would not hand it SIGTERM, and beat's lock would outlive it.
    assert container["command"][0] == "celery"
    subprocess.run(
        ["python3", "-m", "py_compile", MANIFESTS / "beat" / script], check=True, timeout=60
    )
