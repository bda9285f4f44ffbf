"""Whether a fine-tuned version becomes the default of its model: never, always, or if it is not worse."""

from collections.abc import Callable

from contract.card import Card, CardError, read_card
from contract.errors import ServiceError
from contract.job_events import NotPromoted, Promoted
from contract.job_spec import JobSpec
from contract.store import Store
from training.data import Samples
from training.export.checkpoint import load_scripted
from training.export.evaluate import evaluate
from training.fine_tuning.reporting import JobReporter


class _NotBetter(Exception):
    """A version that is worse than the default, or cannot be compared with it; the message says why."""


def promote(
    store: Store, spec: JobSpec, version: int, card: Card, validation: Callable[[], Samples], reporter: JobReporter
) -> None:
    """Make `version`, with its `card`, the default where the job's rule says so, and tell what was decided, once.

    `if_better` compares with the default now in force, on the validation part that measured `card`, and moves the
    default only if nobody else has moved it meanwhile. Nothing here undoes that the version is published: what goes
    wrong is the reason of `not_promoted`.
    """
    if spec.promote == "never" or reporter.has_reported(Promoted, NotPromoted):
        return
    label = f"{spec.name}/{version}"
    try:
        present = default_version(store, spec.name) or version
        if spec.promote == "if_better" and present != version:
            best = _accuracy_of(store, spec, present, card, validation)
            if card.metrics.accuracy < best:
                raise _NotBetter(
                    f"its accuracy on the validation part is {card.metrics.accuracy:.4f}, and that of "
                    f"{spec.name}/{present} is {best:.4f}"
                )
        store.set_default(spec.name, version, expected=present, present=present)
    except (_NotBetter, ServiceError) as error:
        data = NotPromoted(attempt=reporter.attempt, model=label, reason=str(error))
        reporter.report(f"{label} was not promoted: {error}", data)
    else:
        promoted = Promoted(attempt=reporter.attempt, model=label, previous=present)
        reporter.report(f"{label} is the default now", promoted)


def default_version(store: Store, name: str) -> int | None:
    """The default in force: the pointer's, else the lowest version whose card can be read; None without any."""
    versions = store.versions(name)
    pointer = store.pointer(name)
    if pointer is not None and pointer.version in versions:
        return pointer.version
    return next((number for number in versions if _readable(store, name, number)), None)


def _readable(store: Store, name: str, version: int) -> bool:
    try:
        read_card(store.checkpoint_path(name, version))
    except CardError:
        return False
    return True


def _accuracy_of(store: Store, spec: JobSpec, version: int, card: Card, validation: Callable[[], Samples]) -> float:
    """The accuracy of a version of the model on the validation part, which the baseline has already."""
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
