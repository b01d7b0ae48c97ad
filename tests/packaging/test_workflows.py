"""The workflows, forms and hooks name only what the tree has."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8")))


def jobs(workflow):
    """Its jobs by name."""
    return yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_only_read_and_runs_targets_and_folders_that_exist(workflow):
    assert yaml.safe_load(workflow.read_text(encoding="utf-8"))["permissions"] == {"contents": "read"}
    runs = [step["run"] for job in jobs(workflow).values() for step in job["steps"] if "run" in step]
    named = {target for run in runs for target in re.findall(r"\bmake ([a-z-]+)", run)}
    assert named
    assert named <= TARGETS
    assert [path for run in runs for path in re.findall(r"\btests/\w+", run) if not (ROOT / path).exists()] == []


def test_the_fast_tests_run_under_every_python_that_the_package_names():
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["classifiers"]
    named = {line.rpartition(" ")[2] for line in classifiers if re.search(r"Python :: 3\.\d+$", line)}
    tests = jobs(ROOT / ".github" / "workflows" / "tests.yml")
    assert named <= set(tests["unit"]["strategy"]["matrix"]["python"])
    assert {"unit", "lowest", "brokers", "wheel", "docs", "audit"} <= tests.keys()


@pytest.mark.parametrize(
    "form", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml")), ids=lambda path: path.name
)
def test_an_issue_form_has_questions(form):
    fields = yaml.safe_load(form.read_text(encoding="utf-8"))["body"]
    assert all(field["attributes"]["label"] for field in fields)
    assert any(field.get("validations", {}).get("required") for field in fields)


def test_the_hooks_run_what_make_check_runs():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = {hook["entry"].split()[0].removeprefix(".venv/bin/") for repo in config["repos"] for hook in repo["hooks"]}
    (check,) = re.findall(r"(?m)^check:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert hooks == set(re.findall(r"\$\(VENV\)/bin/([a-z-]+)", check))


def test_the_citation_leaves_the_version_to_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "version" not in citation  # only pyproject.toml has it
    assert citation["license"] == project["license"]
