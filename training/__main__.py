"""Train a network, evaluate or check a checkpoint, print its card, pack it for TorchServe, run fine-tuning jobs."""

import argparse
import sys

from contract.card import CardError
from contract.errors import ServiceError
from contract.structure import StructureError
from training.commands import calibrate, check, evaluate, jobs, models, study, train
from training.errors import ConfigError, DataError

EXAMPLES = """
examples:
  python -m training train --preset digits-stl
  python -m training train --preset mnist-stl --data-dir data/mnist --mode sl --name mnist-sl
  python -m training evaluate mnist-stl --data-dir data/mnist
  python -m training evaluate mnist-stl --data-dir data/mnist --draws 8 --decision vote
  python -m training inspect digits-stl/2
  python -m training check model.pt
  python -m training archive digits-stl/2
  python -m training study digits --jobs 2
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        status: int | None = options.run(options)
    except (CardError, ConfigError, DataError, ServiceError, StructureError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return status or 0


def _parser() -> argparse.ArgumentParser:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m training", description=__doc__, epilog=EXAMPLES, formatter_class=formatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    for module in (train, evaluate, calibrate, check, jobs, models, study):
        module.add_to(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
