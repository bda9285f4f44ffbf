"""The commands of fine-tuning: `worker`, and `fine-tune`, which the worker calls for each job."""

import argparse
from pathlib import Path

from training.commands.places import Commands, read_settings


def add_to(commands: Commands) -> None:
    """Add `fine-tune` and `worker`."""
    fine_tune = commands.add_parser("fine-tune", help="run one fine-tuning job (called by the worker)")
    fine_tune.set_defaults(run=_fine_tune)
    fine_tune.add_argument("--job", type=Path, required=True, metavar="FOLDER", help="the job's folder")

    worker = commands.add_parser("worker", help="run fine-tuning jobs from the queue; settings are SNN_ variables")
    worker.set_defaults(run=_worker)
    worker.add_argument("--health", action="store_true", help="exit with 0 if the worker is alive, with 1 if not")


def _fine_tune(options: argparse.Namespace) -> None:
    from training.die_with_parent import die_with_parent
    from training.fine_tuning.sign_of_life import show_life

    die_with_parent()
    show_life(options.job)
    settings = read_settings()
    from training.fine_tuning.run_job import main as run

    run(options.job, settings)


def _worker(options: argparse.Namespace) -> None:
    from training.worker.heartbeat import is_healthy

    settings = read_settings()
    if options.health:
        raise SystemExit(int(not is_healthy(settings)))
    from training.worker.worker import work

    raise SystemExit(work(settings))
