"""Train a network, evaluate a checkpoint, print its card, pack it for TorchServe, run fine-tuning jobs."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from contract.card import Card, CardError, read_card
from contract.checkpoint import CheckpointError
from contract.decision import DECISION_RULES, DecisionRule
from contract.errors import ServiceError
from contract.group import GROUP_FILE, Group, group_card, read_group, write_group
from contract.names import ModelRef
from contract.settings import InvalidSettings, Settings, load
from contract.store import Store
from contract.structure import StructureError
from training.errors import ConfigError, DataError
from training.learning.config import TrainingConfig, preset_names
from training.learning.options import config_of, metavar

EXAMPLES = """
examples:
  python -m training train --preset digits-stl
  python -m training train --preset mnist-stl --data-dir data/mnist --mode sl --name mnist-sl
  python -m training evaluate mnist-stl --data-dir data/mnist
  python -m training evaluate mnist-stl --data-dir data/mnist --draws 8 --decision vote
  python -m training inspect digits-stl/1
  python -m training archive digits-stl/1
  python -m training study digits --jobs 2
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (CardError, ConfigError, DataError, ServiceError, StructureError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m training", description=__doc__, epilog=EXAMPLES, formatter_class=formatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train a network and publish it in the model store")
    train.set_defaults(run=_train)
    train.add_argument(
        "--preset", choices=preset_names(), help="start from these fields; the options below override them"
    )
    train.add_argument("--resume", action="store_true", help="continue the interrupted run in the run folder")
    train.add_argument("--run-dir", type=Path, help="folder for the state of the run (default: runs/NAME)")
    _add_places(train)
    fields = train.add_argument_group("fields of a preset")
    for name, field in sorted(TrainingConfig.model_fields.items(), key=lambda item: not item[1].is_required()):
        default = "" if field.default is None or field.is_required() else f" (default: {field.default})"
        fields.add_argument(
            f"--{name.replace('_', '-')}",
            dest=f"field_{name}",
            metavar=metavar(field.annotation),
            help=f"{field.description}{default}",
        )

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
    _add_places(evaluate)

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
    _add_places(calibrate)

    fine_tune = commands.add_parser("fine-tune", help="run one fine-tuning job (called by the worker)")
    fine_tune.set_defaults(run=_fine_tune)
    fine_tune.add_argument("--job", type=Path, required=True, metavar="FOLDER", help="the job's folder")

    inspect = commands.add_parser("inspect", help="print a checkpoint's card")
    inspect.set_defaults(run=_inspect)
    inspect.add_argument("model", metavar="MODEL[/VERSION]", help="a model in the store; without a version, the newest")
    inspect.add_argument("--json", action="store_true", help="print the card as JSON")
    _add_store(inspect)

    group = commands.add_parser("group", help="publish a group: versions that decide jointly, served as one model")
    group.set_defaults(run=_group)
    group.add_argument("name", metavar="NAME", help="the group's name in the store")
    group.add_argument(
        "members", metavar="MEMBER[/VERSION]", nargs="+", help="a model in the store; without a version, the newest"
    )
    group.add_argument(
        "--decision", choices=DECISION_RULES, default="mean", help="how decisions are joined (default: mean)"
    )
    _add_store(group)

    worker = commands.add_parser("worker", help="run fine-tuning jobs from the queue; settings are SNN_ variables")
    worker.set_defaults(run=_worker)
    worker.add_argument("--health", action="store_true", help="exit with 0 if the worker is alive, with 1 if not")

    archive = commands.add_parser("archive", help="write a checkpoint as a TorchServe archive (.mar)")
    archive.set_defaults(run=_archive)
    archive.add_argument("model", metavar="MODEL[/VERSION]", help="a model in the store; without a version, the newest")
    archive.add_argument("--out", type=Path, default=Path("archives"), help="folder of archives (default: %(default)s)")
    archive.add_argument("--batch-size", type=int, metavar="N", default=32, help="maximum batch size (default: 32)")
    archive.add_argument(
        "--max-batch-delay", type=int, metavar="MS", default=1, help="time to wait for a batch to fill (default: 1 ms)"
    )
    archive.add_argument(
        "--response-timeout",
        type=int,
        metavar="S",
        default=60,
        help="time after which a silent worker is restarted (default: 60 s)",
    )
    _add_store(archive)

    probes = commands.add_parser(
        "probes", help="record a checkpoint's answers to its probes, with which the service need not import torch"
    )
    probes.set_defaults(run=_probes)
    probes.add_argument("model", metavar="MODEL[/VERSION]", help="a model in the store; without a version, the newest")
    _add_store(probes)

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
    return parser


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-dir", type=Path, help="folder with the data set's files (digits needs none)")
    _add_store(parser)


def _add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store",
        type=Path,
        metavar="FOLDER",
        help="model store (default: SNN_MODEL_STORE, whose first folder gets new versions)",
    )


def _train(options: argparse.Namespace) -> None:
    config, store = config_of(options), _store(options)
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


def _fine_tune(options: argparse.Namespace) -> None:
    from training.die_with_parent import die_with_parent
    from training.fine_tuning.sign_of_life import show_life

    die_with_parent()
    show_life(options.job)
    settings = _settings()
    from training.fine_tuning.run_job import main as run

    run(options.job, settings)


def _evaluate(options: argparse.Namespace) -> None:
    from training.export.card_table import accuracy_table, exit_table, joint_table
    from training.export.evaluate import metrics
    from training.export.joint_evaluation import join
    from training.measure import measure, measure_exit
    from training.noise.kinds import parse_noise

    store = _store(options)
    noise = parse_noise(options.noise, options.draw) if options.noise else None
    groups = [_group_of(model, store) for model in options.models]
    members = [
        _find(member, store)
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


def _calibrate(options: argparse.Namespace) -> None:
    from training.calibrate import calibrate, calibration_report, publish_calibrated

    store = _store(options)
    card, checkpoint = _find(options.model, store)
    found = calibrate(card, checkpoint, options.data_dir, eps=options.eps, alpha=options.alpha, rule=options.rule)
    print("\n".join(calibration_report(found)))
    version = checkpoint.parent
    name = version.parent.name
    number = publish_calibrated(store, f"{name}/{version.name}", found, checkpoint)
    print(f"published {name}/{number} in {store.root}")
    print("a running service uses its default version until this one is promoted")


def _inspect(options: argparse.Namespace) -> None:
    from training.export.card_table import card_report

    card, checkpoint = _find(options.model, _store(options))
    print(card.model_dump_json(indent=2) if options.json else card_report(card, int(checkpoint.parent.name)))


def _group(options: argparse.Namespace) -> None:
    store = _store(options)
    found = [_find(member, store) for member in options.members]
    refs = tuple(f"{path.parent.parent.name}/{path.parent.name}" for _, path in found)
    try:
        group = Group(created_at=datetime.now(UTC), members=refs, decision=options.decision)
        group_card(options.name, group, [card for card, _ in found])
    except ValidationError as error:
        raise ConfigError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error
    except CheckpointError as error:
        raise ConfigError(str(error)) from error
    version = store.publish(options.name, lambda folder: write_group(folder, group))
    print(f"published {options.name}/{version} in {store.root}: {group.decision} of {', '.join(refs)}")


def _worker(options: argparse.Namespace) -> None:
    from training.worker.heartbeat import is_healthy

    settings = _settings()
    if options.health:
        raise SystemExit(int(not is_healthy(settings)))
    from training.worker.worker import work

    raise SystemExit(work(settings))


def _archive(options: argparse.Namespace) -> None:
    from training.export.torchserve_archive import WorkerConfig, archive

    _, checkpoint = _find(options.model, _store(options))
    config = WorkerConfig(
        batchSize=options.batch_size,
        maxBatchDelay=options.max_batch_delay,
        responseTimeout=options.response_timeout,
    )
    version = checkpoint.parent
    print(archive(checkpoint, version.parent.name, int(version.name), options.out, config))


def _probes(options: argparse.Namespace) -> None:
    from contract.checkpoint import read_archive
    from contract.probes import write_record
    from training.export.checkpoint import probe_record

    _, checkpoint = _find(options.model, _store(options))
    try:
        data, card = read_archive(checkpoint)
        write_record(checkpoint, probe_record(data, card))
    except (CheckpointError, ServiceError, RuntimeError) as error:
        raise ConfigError(f"the checkpoint does not answer its probes: {error}") from error


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


def _settings() -> Settings:
    try:
        return load()
    except InvalidSettings as error:
        raise ConfigError("; ".join(error.problems)) from error


def _store(options: argparse.Namespace) -> Store:
    return Store(*_settings().model_store) if options.store is None else Store(options.store)


def _group_of(model: str, store: Store) -> Group | None:
    """The group of `NAME` or `NAME/VERSION`, None for a version that is not one."""
    path = _path(model, store)
    try:
        return read_group(path) if path.name == GROUP_FILE else None
    except CheckpointError as error:
        raise ConfigError(f"{model}: {error}") from error


def _find(model: str, store: Store) -> tuple[Card, Path]:
    """The card and the checkpoint file of `NAME` or `NAME/VERSION`; `ConfigError` for a group, which has none."""
    if group := _group_of(model, store):
        raise ConfigError(f"{model} is a group of {', '.join(group.members)}; name one of its members")
    path = _path(model, store)
    return read_card(path), path


def _path(model: str, store: Store) -> Path:
    """The file of `NAME` or `NAME/VERSION` in the store."""
    try:
        ref = ModelRef.parse(model)
    except ValueError as error:
        raise ConfigError(f"{model!r}: {error}") from error
    checkpoints = store.checkpoints(ref.name)
    if not checkpoints:
        known = ", ".join(store.names()) or "none"
        raise ConfigError(
            f"there is no model {ref.name!r} in {' or '.join(map(str, store.folders))}; there are {known}"
        )
    version = max(checkpoints) if ref.version is None else ref.version
    if version not in checkpoints:
        raise ConfigError(f"{ref.name} has no version {version}; there are {', '.join(map(str, checkpoints))}")
    return checkpoints[version]


if __name__ == "__main__":
    sys.exit(main())
