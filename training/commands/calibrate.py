"""The command `calibrate`."""

import argparse

from training.commands.places import Commands, add_places, find, open_store


def add_to(commands: Commands) -> None:
    """Add `calibrate`."""
    calibrate = commands.add_parser("calibrate", help="find when exit=confident may end a sample; a new version has it")
    calibrate.set_defaults(run=_calibrate)
    calibrate.add_argument(
        "model", metavar="MODEL[/VERSION]", help="a model in the store; without a version, the newest"
    )
    calibrate.add_argument(
        "--eps",
        type=float,
        default=0.005,
        help="of the samples that end at a step, at most this share is wrong there or later (default: %(default)s)",
    )
    calibrate.add_argument(
        "--alpha",
        type=float,
        default=0.01,
        help="at most this share of all samples ends early and is wrong, by the conformal rule (default: %(default)s)",
    )
    calibrate.add_argument(
        "--rule",
        choices=("gap", "conformal"),
        default="gap",
        help="the rule of exit=confident (default: gap, by --eps)",
    )
    add_places(calibrate)


def _calibrate(options: argparse.Namespace) -> None:
    from training.calibrate import calibrate, calibration_report, publish_calibrated

    store = open_store(options)
    card, checkpoint = find(options.model, store)
    found = calibrate(card, checkpoint, options.data_dir, eps=options.eps, alpha=options.alpha, rule=options.rule)
    print("\n".join(calibration_report(found)))
    version = checkpoint.parent
    name = version.parent.name
    number = publish_calibrated(store, f"{name}/{version.name}", found, checkpoint)
    print(f"published {name}/{number} in {store.root}")
    print("a running service uses its default version until this one is promoted")
