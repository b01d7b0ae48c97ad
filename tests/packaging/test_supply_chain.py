"""Everything that is installed is locked by version and hash, without addresses, and listed."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
LOCKS = [ROOT / "requirements.lock", ROOT / "deploy" / "requirements.lock"]


def entries(lock: Path) -> dict[str, str]:
    """The rest of each lock entry, by name and version."""
    text = lock.read_text().replace("\\\n", " ")
    return {line.split()[0]: line for line in text.splitlines() if line and not line.startswith("#")}


def names(lock: Path) -> set[str]:
    return {entry.partition("==")[0] for entry in entries(lock)}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: str(lock.relative_to(ROOT)))
def test_every_package_is_pinned_with_hashes_and_no_address_is_written(lock: Path) -> None:
    assert len(entries(lock)) > 40
    for entry, line in entries(lock).items():
        assert re.fullmatch(r"[a-z0-9-]+==[A-Za-z0-9.!+]+", entry)
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", line), entry
    assert "://" not in lock.read_text()
    assert "index-url" not in lock.read_text()


def test_the_images_lock_is_a_complete_part_of_the_lock() -> None:
    assert entries(LOCKS[1]).keys() <= entries(LOCKS[0]).keys()
    asked = {line for line in (ROOT / "deploy/requirements.txt").read_text().splitlines() if not line.startswith("#")}
    assert asked <= names(LOCKS[1])


def test_build_tools_are_locked_too() -> None:
    assert {"uv", "hatchling", "editables", "pip-audit", "cyclonedx-bom"} <= names(LOCKS[0])
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    asked = {re.split(r"[\[<>=]", word)[0] for group in groups.values() for word in group}
    assert asked <= names(LOCKS[0])


@pytest.mark.parametrize("file", ["Dockerfile", "scripts/setup.sh"])
def test_nothing_is_installed_outside_the_lock(file: str) -> None:
    lines = (ROOT / file).read_text().replace("\\\n", " ").splitlines()
    installs = [line for line in lines if "pip install" in line and not line.lstrip().startswith("#")]
    assert installs
    for line in installs:
        by_lock = "--require-hashes" in line
        ours = "--no-deps" in line and "--no-build-isolation" in line and line.rstrip().endswith("-e .")
        assert by_lock or ours, line


def test_the_workflow_audits_both_locks_with_no_right_to_write() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/audit.yml").read_text())
    assert workflow["permissions"] == {"contents": "read"}
    steps = workflow["jobs"]["audit"]["steps"]
    runs = [step["run"] for step in steps if "run" in step]
    assert "make setup" in runs[0]
    for lock in LOCKS:
        assert any("pip-audit" in run and run.endswith(f"-r {lock.relative_to(ROOT)}") for run in runs)
    assert all(re.search(r"@(v\d+|[0-9a-f]{40})$", step["uses"]) for step in steps if "uses" in step)


@pytest.mark.soak
@pytest.mark.usefixtures("integration")
def test_the_bill_of_materials_lists_every_package_with_its_hash() -> None:
    subprocess.run(["make", "-s", "sbom"], cwd=ROOT, check=True, capture_output=True, timeout=100)
    bill = json.loads((ROOT / "dist/sbom.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "fanbench"
    listed = {f"{part['name']}=={part['version']}" for part in bill["components"]}
    assert entries(LOCKS[0]).keys() <= listed
    ours = [part for part in bill["components"] if f"{part['name']}=={part['version']}" in entries(LOCKS[0])]
    assert [part["name"] for part in ours if "SHA-256" not in json.dumps(part)] == []
