"""`make release` and `make image` in a clone of the project."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = (".ci/release.py", "Makefile")


class Clone:
    """A clone of the project that has a section for version 9.8.7 in its changelog."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run(["git", "clone", "--quiet", "--shared", ROOT, folder], check=True)
        for tool in TOOLS:  # as they are here, committed or not
            shutil.copy(ROOT / tool, folder / tool)
        changelog = folder / "CHANGELOG.md"
        changelog.write_text(changelog.read_text().replace("## ", "## 9.8.7, unreleased\n\n- One change.\n\n## ", 1))
        citation = folder / "CITATION.cff"
        citation.write_text(re.sub(r"(?m)^date-released: .*$", "date-released: 2000-01-01", citation.read_text()))
        self.git("config", "user.name", "Somebody")
        self.git("config", "user.email", "somebody@example.org")
        self.commit()

    def git(self, *arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=self.folder, check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", "Prepare")

    def make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        # Without the variables of an outer `make test`, which would pass on its arguments and announce its folders.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        command = ["make", *arguments]
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)

    def state(self) -> tuple[str, ...]:
        """Everything that a release changes."""
        return self.git("rev-parse", "HEAD"), self.git("tag", "--list"), self.git("status", "--porcelain")


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    if not (ROOT / ".git").exists() or shutil.which("git") is None or shutil.which("make") is None:
        pytest.skip("needs a git checkout, git and make")
    return Clone(tmp_path / "clone")


def refusal(clone: Clone, version: str) -> str:
    before = clone.state()
    done = clone.make("release", f"VERSION={version}")
    assert done.returncode != 0
    assert clone.state() == before
    return done.stderr


def test_a_release_is_one_commit_and_an_annotated_tag_with_the_notes(clone: Clone) -> None:
    before = clone.git("rev-parse", "HEAD")
    done = clone.make("release", "VERSION=9.8.7")

    assert done.returncode == 0, done.stderr
    assert clone.git("rev-parse", "v9.8.7^{commit}^") == before
    assert clone.git("cat-file", "-t", "v9.8.7") == "tag"
    assert clone.git("tag", "--list", "--format=%(contents)", "v9.8.7") == "stl-snn 9.8.7\n\n- One change."
    assert clone.git("status", "--porcelain") == ""
    changed = clone.git("diff", "--unified=0", before, "v9.8.7").splitlines()
    today = clone.git("show", "--no-patch", "--format=%cs", "v9.8.7^{commit}")
    assert [line for line in changed if line.startswith("+") and not line.startswith("+++")] == [
        f"+## 9.8.7, {today}",
        "+version: 9.8.7",
        f"+date-released: {today}",
        '+    "version": "9.8.7"',
        '+version = "9.8.7"',
    ]


def test_images_are_named_after_the_tag(clone: Clone) -> None:
    assert "-t stl-snn:9.8.7" not in clone.make("-n", "image").stdout
    clone.make("release", "VERSION=9.8.7")
    recipe = clone.make("-n", "image", "CONTAINER_TOOL=podman").stdout

    assert recipe.startswith("podman build ")
    assert " -t stl-snn:9.8.7 " in recipe
    assert "VERSION=9.8.7 " in recipe
    assert f"REVISION={clone.git('rev-parse', 'HEAD')} " in recipe


def test_a_dry_run_changes_nothing(clone: Clone) -> None:
    before = clone.state()
    done = clone.make("release", "VERSION=9.8.7", "DRY_RUN=1")

    assert (done.returncode, clone.state()) == (0, before)
    assert "- One change." in done.stdout


def test_a_tree_with_changes_is_refused(clone: Clone) -> None:
    (clone.folder / "new").write_text("new")

    assert "uncommitted changes:\n?? new" in refusal(clone, "9.8.7")


def test_a_version_is_released_once(clone: Clone) -> None:
    clone.git("tag", "v9.8.7")

    assert "already exists" in refusal(clone, "9.8.7")


@pytest.mark.parametrize("version", ["", "9.8", "v9.8.7", "9.8.7rc1", "09.8.7", "9.8.7; ls"])
def test_what_is_not_a_version_is_refused(clone: Clone, version: str) -> None:
    assert "VERSION=1.2.3" in refusal(clone, version)


def test_a_version_without_notes_is_refused(clone: Clone) -> None:
    assert "no section '## 9.8.8'" in refusal(clone, "9.8.8")
    changelog = clone.folder / "CHANGELOG.md"
    changelog.write_text(changelog.read_text().replace("- One change.\n", ""))
    clone.commit()

    assert "the section is empty" in refusal(clone, "9.8.7")
