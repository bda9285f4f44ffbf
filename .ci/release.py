"""Tag a release: `make release VERSION=1.2.3`; with `DRY_RUN=1` nothing is changed.

Needs a clean working tree and a section for the version in CHANGELOG.md. Sets the version in pyproject.toml,
openapi.json and CITATION.cff, dates the section and the citation, commits these files and tags the commit; the tag's
message is the section. Nothing is pushed.
"""

import argparse
import datetime
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def git(*arguments: str, text: str | None = None) -> str:
    """Run git in the project, with `text` as its input; returns what it prints."""
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, input=text, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def problem(version: str) -> str | None:
    """Why this version cannot be released now, or None."""
    if not re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}", version):
        return f"'{version}' is not a version; use three numbers: make release VERSION=1.2.3"
    if changes := git("status", "--porcelain"):
        return f"the working tree has uncommitted changes:\n{changes}"
    if git("tag", "--list", f"v{version}"):
        return f"the tag v{version} already exists"
    if notes(version) is None:
        return f"CHANGELOG.md has no section '## {version}', or the section is empty"
    return None


def notes(version: str) -> str | None:
    """The text of the version's section in the changelog."""
    pattern = rf"^## {re.escape(version)}(?:,[^\n]*)?\n(.*?)(?=^## |\Z)"
    match = re.search(pattern, (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return match[1].strip() or None if match else None


def edits(version: str) -> dict[Path, str]:
    """The new content of each file that names the version."""
    today = datetime.date.today()
    replacements = (
        ("pyproject.toml", r'^version = ".*"$', f'version = "{version}"'),
        ("openapi.json", r'^    "version": ".*"$', f'    "version": "{version}"'),
        ("CITATION.cff", r"^version: .*$", f"version: {version}"),
        ("CITATION.cff", r"^date-released: .*$", f"date-released: {today}"),
        ("CHANGELOG.md", rf"^## {re.escape(version)}\b.*$", f"## {version}, {today}"),
    )
    contents: dict[Path, str] = {}
    for name, pattern, line in replacements:
        path = ROOT / name
        text = contents.get(path) or path.read_text("utf-8")
        contents[path], found = re.subn(pattern, line, text, flags=re.MULTILINE)
        if found != 1:
            raise SystemExit(f"release: expected one line '{pattern}' in {name}, found {found}")
    return contents


def main() -> None:
    """Check, then edit, commit and tag."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("version")
    parser.add_argument("--dry-run", action="store_true", help="check, and print what would happen")
    options = parser.parse_args()
    version = options.version
    if reason := problem(version):
        sys.exit(f"release: {reason}")
    message = f"stl-snn {version}\n\n{notes(version)}\n"
    contents = edits(version)
    if options.dry_run:
        print(f"v{version} can be tagged, with this message:\n\n{message}")
        return
    for path, content in contents.items():
        path.write_text(content, "utf-8")
    git("add", *(path.name for path in contents))
    if git("diff", "--cached", "--name-only"):
        git("commit", "--quiet", "-m", f"Release {version}")
    git("tag", "--annotate", "--cleanup=verbatim", "--file=-", f"v{version}", text=message)
    print(f"tagged v{version}; publish it with 'git push --follow-tags', then build its images with 'make image'")


if __name__ == "__main__":
    main()
