"""The command `evaluate`."""

import argparse

from contract.decision import DECISION_RULES, DecisionRule
from training.commands.places import Commands, add_places, find, group_of, open_store
from training.errors import ConfigError


def add_to(commands: Commands) -> None:
    """Add `evaluate`."""
    evaluate = commands.add_parser("evaluate", help="measure a checkpoint on the test part of its data set")
    evaluate.set_defaults(run=_evaluate)
    evaluate.add_argument(
        "models",
        metavar="MODEL[/VERSION]",
        nargs="+",
        help="a model in the store; without a version, the newest; several decide jointly",
    )
    evaluate.add_argument(
        "--noise", metavar="KIND=LEVEL", help="add noise to the samples or inside the network, such as gaussian=0.2"
    )
    evaluate.add_argument("--draw", type=int, metavar="N", default=0, help="another draw of the noise (default: 0)")
    evaluate.add_argument(
        "--decision", choices=DECISION_RULES, help="how several decisions are joined (default: mean, or the group's)"
    )
    evaluate.add_argument(
        "--draws", type=int, metavar="N", default=1, help="decide jointly by N Poisson draws of each sample"
    )
    evaluate.add_argument(
        "--windows", type=int, metavar="N", default=1, help="decide jointly by N parts of each recording's time"
    )
    evaluate.add_argument(
        "--exit",
        choices=("lossless", "confident"),
        help="end each sample once its class is certain, or as sure as the model's calibration asks",
    )
    add_places(evaluate)


def _evaluate(options: argparse.Namespace) -> None:
    from training.export.card_table import accuracy_table, exit_table, joint_table
    from training.export.evaluate import metrics
    from training.export.joint_evaluation import join
    from training.measure import measure, measure_exit
    from training.noise.kinds import parse_noise

    store = open_store(options)
    noise = parse_noise(options.noise, options.draw) if options.noise else None
    groups = [group_of(model, store) for model in options.models]
    members = [
        find(member, store)
        for model, group in zip(options.models, groups, strict=True)
        for member in (group.members if group else [model])
    ]
    default: DecisionRule = next((group.decision for group in groups if group), "mean")
    if options.exit is not None:
        if len(members) > 1 or options.draws > 1 or options.windows > 1:
            raise ConfigError("--exit: decisions that end early cannot be joined")
        [(card, checkpoint)] = members
        whole, ended = measure_exit(
            card, checkpoint, options.data_dir, confident=options.exit == "confident", noise=noise
        )
        print(exit_table(card, options.exit, whole, ended))
        return
    found, labels = measure(members, options.data_dir, noise=noise, draws=options.draws, windows=options.windows)
    if len(found) > 1:
        print(joint_table(join(found, labels, options.decision or default)))
    else:
        [(card, evaluation)] = found
        print(accuracy_table(card, metrics(evaluation, card.layers, card.timesteps)))
