"""deploy/kubernetes as kustomize builds it is valid by Kubernetes' own schemas, and its parts find each other."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import typer
import yaml

from generator.settings import GeneratorSettings
from server.settings import ServerSettings
from tests.missing import missing

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = sorted(path.parent.name for path in FOLDER.glob("overlays/*/kustomization.yaml"))
COMPARES = ("compare", "compare-generators")
VERSIONS = ("1.30", "1.34")
"""The oldest version that is supported anywhere, and a recent one: every object must be valid in both."""


@pytest.fixture(scope="module")
def schemas():
    """The library that checks objects: it takes three seconds to import, which every process that collects tests would pay."""
    import kubernetes_validate

    return kubernetes_validate


@pytest.fixture(scope="module")
def built(integration):
    """The objects of each overlay, by overlay."""
    if shutil.which("kubectl"):
        command = ["kubectl", "kustomize"]
    elif shutil.which("kustomize"):
        command = ["kustomize", "build"]
    else:
        missing("neither kubectl nor kustomize is installed; https://kubernetes.io/docs/tasks/tools has how")
    return {name: _objects(command, FOLDER / "overlays" / name) for name in OVERLAYS}


def _objects(command, folder):
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, "it warns of what is deprecated"
    return list(yaml.safe_load_all(done.stdout))


def of_kind(objects, kind):
    return {one["metadata"]["name"]: one for one in objects if one["kind"] == kind}


def pods(objects):
    """The template of each workload, by its name."""
    kinds = ("Deployment", "StatefulSet", "Job")
    return {one["metadata"]["name"]: one["spec"]["template"] for one in objects if one["kind"] in kinds}


def containers(objects):
    return {name: pod["spec"]["containers"][0] for name, pod in pods(objects).items()}


def env_of(container):
    return {one["name"]: one.get("value") for one in container.get("env", [])}


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid_by_the_schema(built, schemas, overlay, version):
    for one in built[overlay]:
        schemas.validate(one, version, strict=True)


def test_the_schema_finds_what_is_wrong(built, schemas):
    replica = of_kind(built["nats"], "StatefulSet")["replica"]
    replica["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(schemas.ValidationError, match="readynessProbe"):
        schemas.validate(replica, VERSIONS[0], strict=True)
    del replica["spec"]["template"]["spec"]["containers"][0]["readynessProbe"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_service_has_pods_and_their_port(built, overlay):
    objects = built[overlay]
    for name, service in of_kind(objects, "Service").items():
        selected = [
            pod
            for pod in pods(objects).values()
            if service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
        ]
        assert len(selected) == 1, f"{overlay}: service {name}"
        ports = {port["name"] for port in selected[0]["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports, f"{overlay}: service {name}"


@pytest.mark.parametrize("overlay", [name for name in OVERLAYS if name not in COMPARES])
def test_replicas_and_generator_of_an_overlay_have_its_broker(built, overlay):
    found = containers(built[overlay])
    url = env_of(found["replica"])["FANBENCH_BROKER_URL"]
    assert url == env_of(found["generator"])["FANBENCH_BROKER_URL"]
    assert url.partition("://")[2] in of_kind(built[overlay], "Service")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_has_only_the_rights_that_it_needs(built, overlay):
    for name, pod in pods(built[overlay]).items():
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True, name
        assert pod["spec"].get("automountServiceAccountToken", True) is (name == "compare"), name
        for container in pod["spec"]["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert container["resources"]["limits"]["memory"], name


def test_replicas_say_when_they_are_ready_and_have_time_to_end(built):
    pod = pods(built["nats"])["replica"]["spec"]
    container = pod["containers"][0]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    waits_s = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    spread_s = ServerSettings.model_fields["stop_spread_s"].default
    assert pod["terminationGracePeriodSeconds"] >= waits_s + spread_s + 5
    (spread,) = pod["topologySpreadConstraints"]
    assert (
        spread["labelSelector"]["matchLabels"].items() <= pods(built["nats"])["replica"]["metadata"]["labels"].items()
    )


def test_every_setting_that_is_given_exists(built):
    known = {f"FANBENCH_{name.upper()}" for name in ServerSettings.model_fields}
    for overlay in OVERLAYS:
        given = {name for name in env_of(containers(built[overlay])["replica"]) if name.startswith("FANBENCH_")}
        assert given <= known
        generator = containers(built[overlay]).get("generator", {})
        given = {name for name in env_of(generator) if name.startswith("FANBENCH_")}
        assert given <= {f"FANBENCH_{name.upper()}" for name in GeneratorSettings.model_fields}


@pytest.mark.parametrize("overlay", COMPARES)
def test_the_job_names_existing_replicas_workers_and_brokers(built, overlay):
    objects = built[overlay]
    job = containers(objects)["compare"]
    words = job["args"][0]
    replica = of_kind(objects, "StatefulSet")["replica"]
    named = re.search(r"--replicas-at (\S+)", words)[1].split(",")
    service = replica["spec"]["serviceName"]
    assert named == [f"http://replica-{number}.{service}:8000" for number in range(replica["spec"]["replicas"])]
    assert (
        int(re.search(r"--workers-expected (\d+)", words)[1])
        == of_kind(objects, "Deployment")["worker"]["spec"]["replicas"]
    )
    for url in env_of(job)["CONTENDERS"].split():
        assert url.partition("://")[2] in of_kind(objects, "Service")
    assert "--master-port 5557" in containers(objects)["worker"]["args"][0]
    assert "--master-at 0.0.0.0:5557" in words


@pytest.mark.parametrize("overlay", COMPARES)
def test_the_job_gives_options_that_exist(built, overlay):
    from harness.commands.cli import app

    known = {word for option in typer.main.get_command(app).commands["compare"].params for word in option.opts}
    job = containers(built[overlay])["compare"]
    words = f"{job['args'][0].partition('--deploy')[0]} {env_of(job)['OPTIONS']}"
    given = set(re.findall(r"(?<!\S)--[a-z-]+", words))
    assert len(given) >= 6
    assert given <= known


def test_the_job_expects_the_generators_that_join_it(built):
    objects = built["compare-generators"]
    job, generator = containers(objects)["compare"], containers(objects)["generator"]
    options = env_of(job)["OPTIONS"]
    expected = int(re.search(r"--generators-expected (\d+)", options)[1])
    assert expected == of_kind(objects, "Deployment")["generator"]["spec"]["replicas"]
    assert int(re.search(r"--topics (\d+)", options)[1]) >= expected
    assert "$OPTIONS" in job["args"][0]
    host, port = generator["command"][-1].split(":")
    (there,) = [one for one in of_kind(objects, "Service")[host]["spec"]["ports"] if one["port"] == int(port)]
    assert {"name": there["targetPort"], "containerPort": int(port)} in job["ports"]
    assert f"--generators-at 0.0.0.0:{port}" in options


def test_job_and_generators_read_one_secret_that_is_not_in_the_repository(built):
    objects = built["compare-generators"]
    assert of_kind(objects, "Secret") == {}
    for name in ("compare", "generator"):
        pod, container = pods(objects)[name]["spec"], containers(objects)[name]
        (volume,) = [one for one in pod["volumes"] if "secret" in one]
        assert volume["secret"] == {"secretName": "join", "defaultMode": 0o440}
        (mount,) = [one for one in container["volumeMounts"] if one["name"] == volume["name"]]
        assert env_of(container)["FANBENCH_JOIN_SECRET_FILE"] == f"{mount['mountPath']}/secret"
        assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"], "it may read the file"


def test_the_job_may_do_what_its_command_does_and_no_more(built):
    rules = of_kind(built["compare"], "Role")["compare"]["rules"]
    (rule,) = rules
    assert (rule["resources"], rule["resourceNames"]) == (["statefulsets"], ["replica"])
    assert set(rule["verbs"]) == {"get", "list", "watch", "patch"}
    binding = of_kind(built["compare"], "RoleBinding")["compare"]
    assert binding["subjects"][0]["name"] in of_kind(built["compare"], "ServiceAccount")
    assert pods(built["compare"])["compare"]["spec"]["serviceAccountName"] == binding["subjects"][0]["name"]


def test_the_shell_of_each_pod_parses(built):
    scripts = [one["args"][0] for objects in built.values() for one in containers(objects).values() if "args" in one]
    assert scripts
    for script in scripts:
        assert subprocess.run(["sh", "-n", "-c", script], capture_output=True, text=True).stderr == ""


def test_the_file_for_several_hosts_gives_settings_that_exist():
    services = yaml.safe_load((ROOT / "deploy" / "compose" / "hosts.yml").read_text(encoding="utf-8"))["services"]
    for service, settings in (("replica", ServerSettings), ("generator", GeneratorSettings)):
        known = {f"FANBENCH_{name.upper()}" for name in settings.model_fields}
        assert set(services[service]["environment"]) <= known
    assert all(service["restart"] == "always" for service in services.values())
