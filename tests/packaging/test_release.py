"""The version has one source, and builds name the commit that they come from."""

import re
import tomllib
from pathlib import Path

import yaml

from core.build import RECORDED, commit_of, installed_version, source_commit
from tests.harness.command import fanbench

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def test_no_other_file_repeats_the_version() -> None:
    """The changelog and the upgrade notes mention versions, and results name the version that measured them."""
    told = {"CHANGELOG.md", "docs/upgrading.md", "pyproject.toml"}
    files = [
        *ROOT.glob("*.*"),
        ROOT / "Dockerfile",
        ROOT / "Makefile",
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("scripts/*"),
    ]
    for package in ("core", "brokers", "server", "generator", "load", "harness", "deploy"):
        files += [path for path in ROOT.glob(f"{package}/**/*") if path.suffix in (".py", ".j2", ".js", ".txt", ".yml")]
    own = re.compile(rf"(?<![\d.=]){re.escape(VERSION)}(?![\d.])")
    for path in files:
        name = str(path.relative_to(ROOT))
        if path.is_file() and name not in told and path.suffix != ".lock":
            assert not own.search(path.read_text(encoding="utf-8", errors="replace")), (
                f"{name} repeats version {VERSION}"
            )


def test_version_prints_the_version_and_the_commit(integration: None) -> None:
    done = fanbench("--version")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"fanbench {installed_version()} (commit {source_commit()})\n"
    assert installed_version() == VERSION


def test_the_commit_comes_from_the_tree_or_from_the_record(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("FANBENCH_COMMIT", raising=False)
    assert commit_of(tmp_path) == ""
    (tmp_path / "core").mkdir()
    (tmp_path / RECORDED).write_text("abc123\n")
    assert commit_of(tmp_path) == "abc123"
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("def456\n")
    assert commit_of(tmp_path) == "def456"
    monkeypatch.setenv("FANBENCH_COMMIT", "789")
    assert commit_of(tmp_path) == "789"


def test_the_image_is_labelled_with_its_source() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', text))
    assert labels["version"] == "${FANBENCH_VERSION}"
    assert labels["revision"] == "${FANBENCH_COMMIT}"
    assert labels["licenses"] == "MIT"
    assert {"title", "description"} <= labels.keys()
    arguments = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]["server"][
        "build"
    ]["args"]
    assert {"FANBENCH_VERSION", "FANBENCH_COMMIT"} <= arguments.keys()
    made = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\nimage:")[2].partition("\n\n")[0]
    assert "--build-arg FANBENCH_VERSION=$$version" in made
    assert "--build-arg FANBENCH_COMMIT=$$(git rev-parse HEAD" in made
