"""The commands of studies: `study` and `report`."""

import argparse
from pathlib import Path

from training.commands.places import Commands
from training.errors import ConfigError


def add_to(commands: Commands) -> None:
    """Add `study` and `report`."""
    study = commands.add_parser("study", help="train several arms at several seeds and compare them")
    study.set_defaults(run=_study)
    chosen = study.add_mutually_exclusive_group(required=True)
    chosen.add_argument("study", nargs="?", metavar="STUDY", help="a study file, or one of: digits, fashion, ...")
    chosen.add_argument("--smoke", action="store_true", help="run the small study `smoke`, which takes minutes")
    study.add_argument("--out", type=Path, metavar="FOLDER", help="folder of the study (default: studies/NAME)")
    study.add_argument("--jobs", type=int, metavar="N", default=1, help="processes, of one thread each (default: 1)")
    study.add_argument("--data-dir", type=Path, help="folder with the data set's files (digits needs none)")

    report = commands.add_parser("report", help="draw the report of a study from its results")
    report.set_defaults(run=_report)
    report.add_argument("folder", type=Path, metavar="FOLDER", help="folder of the study")


def _study(options: argparse.Namespace) -> None:
    from training.study.plan import load_study

    study = load_study("smoke" if options.smoke else options.study)
    root = options.out or Path("studies") / study.name
    if options.jobs < 1:
        raise ConfigError("--jobs: must be at least 1")
    from training.study.run import run_study

    try:
        run_study(study, root, jobs=options.jobs, data_dir=options.data_dir)
    except KeyboardInterrupt:
        print(f"\nstopped; the same command continues the study in {root}")
        raise SystemExit(130) from None
    print(f"results are in {root}")
    _report(argparse.Namespace(folder=root))


def _report(options: argparse.Namespace) -> None:
    from training.study.report import write_report

    print(f"report: {write_report(options.folder)}")
