"""Whether a fine-tuned version becomes the default of its model: never, always, or if it is not worse."""

from collections.abc import Callable

from contract.card import Card, CardError, read_card
from contract.errors import ServiceError
from contract.job_events import NotPromoted, Promoted
from contract.job_spec import JobSpec
from contract.store import Store, default_version
from training.data import Samples
from training.export.checkpoint import load_scripted, works
from training.export.evaluate import evaluate
from training.fine_tuning.reporting import JobReporter


class _NotBetter(Exception):
    """The version is worse than the default or cannot be compared with it; the message gives the reason."""


def promote(
    store: Store, spec: JobSpec, version: int, card: Card, validation: Callable[[], Samples], reporter: JobReporter
) -> None:
    """Make `version`, with its `card`, the default if the job's rule allows it, and report the decision once.

    `if_better` compares with the default in force, on the validation part that measured `card`, and changes the default
    only if nobody else has changed it meanwhile. The version stays published in any case: if something goes wrong, that
    is the reason given in `not_promoted`.
    """
    if spec.promote == "never" or reporter.has_reported(Promoted, NotPromoted):
        return
    label = f"{spec.name}/{version}"
    try:
        present = default_in_force(store, spec.name) or version
        if spec.promote == "if_better" and present != version:
            best = _accuracy_of(store, spec, present, card, validation)
            if card.metrics.accuracy < best:
                raise _NotBetter(
                    f"its accuracy on the validation part is {card.metrics.accuracy:.4f}, that of "
                    f"{spec.name}/{present} is {best:.4f}"
                )
        store.set_default(spec.name, version, expected=present, present=present)
    except (_NotBetter, ServiceError) as error:
        data = NotPromoted(attempt=reporter.attempt, model=label, reason=str(error))
        reporter.report(f"{label} was not promoted: {error}", data)
    else:
        promoted = Promoted(attempt=reporter.attempt, model=label, previous=present)
        reporter.report(f"{label} is the default now", promoted)


def default_in_force(store: Store, name: str) -> int | None:
    """The version that the service uses for requests without a version; None if no version works."""
    checkpoints = store.checkpoints(name)
    return default_version(checkpoints, store.pointer(name), lambda version: works(checkpoints[version]))


def _accuracy_of(store: Store, spec: JobSpec, version: int, card: Card, validation: Callable[[], Samples]) -> float:
    """A version's accuracy on the validation part. For the job's own base it is already on the card."""
    baseline = card.learning.baseline_accuracy
    if (spec.name, version) == (spec.model, spec.version) and baseline is not None:
        return baseline
    path = store.checkpoint_path(spec.name, version)
    try:
        other = read_card(path)
        if (other.labels, other.input) != (card.labels, card.input):
            raise _NotBetter(f"{spec.name}/{version} has other classes or another input")
        return evaluate(load_scripted(path), validation()).accuracy
    except (CardError, OSError, RuntimeError) as error:
        raise _NotBetter(f"{spec.name}/{version} cannot be measured ({type(error).__name__})") from error
