"""The provenance of a checkpoint: versions of the project and of torch, and the git commit."""

import subprocess
from contextlib import suppress
from importlib.metadata import version as package_version
from pathlib import Path

import torch

from contract.card import Provenance


def provenance() -> Provenance:
    """The versions of this project and of torch, and the git commit if the project runs from a checkout."""
    root = Path(__file__).parents[2]
    commit = None
    if (root / ".git").exists():
        describe = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
        with suppress(OSError, subprocess.CalledProcessError):
            commit = subprocess.run(describe, capture_output=True, text=True, check=True).stdout.strip()
    return Provenance(project_version=package_version("stl-snn"), torch_version=torch.__version__, git_commit=commit)
