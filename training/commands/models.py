"""The commands on versions in the store: `inspect`, `group`, `archive`, `probes` and `reference`."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from contract.checkpoint import CheckpointError
from contract.decision import DECISION_RULES
from contract.errors import ServiceError
from contract.group import Group, group_card, write_group
from training.commands.places import Commands, add_places, add_store, find, open_store
from training.errors import ConfigError


def add_to(commands: Commands) -> None:
    """Add `inspect`, `group`, `archive`, `probes` and `reference`."""
    inspect = commands.add_parser("inspect", help="print a checkpoint's card")
    inspect.set_defaults(run=_inspect)
    inspect.add_argument("model", metavar="MODEL[/VERSION]", help="a model in the store; without a version, the newest")
    inspect.add_argument("--json", action="store_true", help="print the card as JSON")
    add_store(inspect)

    group = commands.add_parser("group", help="publish a group: versions that decide jointly, served as one model")
    group.set_defaults(run=_group)
    group.add_argument("name", metavar="NAME", help="the group's name in the store")
    group.add_argument(
        "members", metavar="MEMBER[/VERSION]", nargs="+", help="a model in the store; without a version, the newest"
    )
    group.add_argument(
        "--decision", choices=DECISION_RULES, default="mean", help="how decisions are joined (default: mean)"
    )
    add_store(group)

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
    add_store(archive)

    probes = commands.add_parser(
        "probes", help="record a checkpoint's answers to its probes, with which the service need not import torch"
    )
    probes.set_defaults(run=_probes)
    probes.add_argument("model", metavar="MODEL[/VERSION]", help="a model in the store; without a version, the newest")
    add_store(probes)

    reference = commands.add_parser(
        "reference", help="measure what a version's inputs look like, by which the service warns of others"
    )
    reference.set_defaults(run=_reference)
    reference.add_argument(
        "models", metavar="MODEL[/VERSION]", nargs="+", help="models in the store; without a version, the newest"
    )
    add_places(reference)


def _inspect(options: argparse.Namespace) -> None:
    from training.export.card_table import card_report

    card, checkpoint = find(options.model, open_store(options))
    print(card.model_dump_json(indent=2) if options.json else card_report(card, int(checkpoint.parent.name)))


def _group(options: argparse.Namespace) -> None:
    store = open_store(options)
    found = [find(member, store) for member in options.members]
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


def _archive(options: argparse.Namespace) -> None:
    from training.export.torchserve_archive import WorkerConfig, archive

    _, checkpoint = find(options.model, open_store(options))
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

    _, checkpoint = find(options.model, open_store(options))
    try:
        data, card = read_archive(checkpoint)
        write_record(checkpoint, probe_record(data, card))
    except (CheckpointError, ServiceError, RuntimeError) as error:
        raise ConfigError(f"the checkpoint does not answer its probes: {error}") from error


def _reference(options: argparse.Namespace) -> None:
    from training.reference import measure_reference

    store = open_store(options)
    for model in options.models:
        card, checkpoint = find(model, store)
        found = measure_reference(card, checkpoint, options.data_dir)
        confidence = found.confidence
        print(
            f"{card.name}/{checkpoint.parent.name}: {found.samples:,} samples of the {found.measured_on} part; "
            f"temperature {confidence.temperature:.3f}, calibration error {confidence.calibration_error:.2%}, "
            f"of the scores {confidence.uncalibrated_error:.2%}"
        )
