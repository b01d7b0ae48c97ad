"""The commit of a checkout, as git itself names it: loose, packed, detached, and in a worktree."""

import subprocess

import pytest

from core.build import checked_out

pytestmark = pytest.mark.subprocess
NOBODY = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.invalid", "-c", "init.defaultBranch=main"]


def git(folder, *words):
    done = subprocess.run(["git", *NOBODY, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_commit_is_the_one_that_git_names(tmp_path):
    folder, worktree = tmp_path / "checkout", tmp_path / "worktree"
    folder.mkdir()
    git(folder, "init", "-q")
    git(folder, "commit", "-q", "--allow-empty", "-m", "one")
    first = git(folder, "rev-parse", "HEAD")
    assert checked_out(folder) == first
    git(folder, "pack-refs", "--all")
    assert checked_out(folder) == first
    git(folder, "worktree", "add", "-q", "-b", "other", str(worktree))
    git(worktree, "commit", "-q", "--allow-empty", "-m", "two")
    assert checked_out(worktree) == git(worktree, "rev-parse", "HEAD") != first
    git(worktree, "checkout", "-q", "--detach", first)
    assert checked_out(worktree) == first


def test_without_a_checkout_there_is_no_commit(tmp_path):
    assert checked_out(tmp_path) == ""
