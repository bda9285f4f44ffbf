"""The command on a file outside of the store: `check`."""

import argparse
from pathlib import Path

from contract.store import CHECKPOINT_FILE
from training.commands.places import Commands


def add_to(commands: Commands) -> None:
    """Add `check`."""
    check = commands.add_parser("check", help="name every fault of an archive and its card; exit status 1 if any")
    check.set_defaults(run=_check)
    check.add_argument("file", metavar="FILE", type=Path, help="a model.pt, or its folder; its code is run")


def _check(options: argparse.Namespace) -> int:
    from training.export.check import check_checkpoint

    path = options.file / CHECKPOINT_FILE if options.file.is_dir() else options.file
    found = check_checkpoint(path)
    for kind, lines in (("fault", found.faults), ("note", found.notes)):
        for line in lines:
            print(f"{kind}: {line}")
    print(f"{path}: {f'{len(found.faults)} faults' if found.faults else 'the service can load it'}")
    return 1 if found.faults else 0
