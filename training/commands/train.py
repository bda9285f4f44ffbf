"""The command `train`."""

import argparse
from pathlib import Path

from training.commands.places import Commands, add_places, open_store
from training.errors import ConfigError
from training.learning.config import TrainingConfig, preset_names
from training.learning.options import config_of, metavar


def add_to(commands: Commands) -> None:
    """Add `train`."""
    train = commands.add_parser("train", help="train a network and publish it in the model store")
    train.set_defaults(run=_train)
    train.add_argument(
        "--preset", choices=preset_names(), help="start from these fields; the options below override them"
    )
    train.add_argument("--resume", action="store_true", help="continue the interrupted run in the run folder")
    train.add_argument("--run-dir", type=Path, help="folder for the state of the run (default: runs/NAME)")
    add_places(train)
    fields = train.add_argument_group("fields of a preset")
    for name, field in sorted(TrainingConfig.model_fields.items(), key=lambda item: not item[1].is_required()):
        default = "" if field.default is None or field.is_required() else f" (default: {field.default})"
        fields.add_argument(
            f"--{name.replace('_', '-')}",
            dest=f"field_{name}",
            metavar=metavar(field.annotation),
            help=f"{field.description}{default}",
        )


def _train(options: argparse.Namespace) -> None:
    config, store = config_of(options), open_store(options)
    # Torch and Lightning take seconds to import; --help and invalid options should not wait for them.
    from training.errors import DivergedError
    from training.export.card_table import accuracy_table
    from training.learning.time_bins import load_for
    from training.learning.train import train

    dataset = load_for(config, options.data_dir)
    run_dir = options.run_dir or Path("runs") / config.name
    try:
        published = train(config, dataset, store, run_dir, resume=options.resume)
    except (KeyboardInterrupt, SystemExit):  # the trainer raises SystemExit on Ctrl-C
        print(f"\nstopped; the same command with --resume continues from the last completed epoch in {run_dir}")
        raise SystemExit(130) from None
    except DivergedError as error:
        raise ConfigError(f"{error}; try a lower --learning-rate") from error
    print(accuracy_table(published.card, published.card.metrics))
    print(f"published {config.name}/{published.version} in {store.root}")
    if published.version > 1:
        print("a running service uses its default version until this one is promoted")
