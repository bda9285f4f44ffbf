"""Which leads of its decision end an inference early, for the model that a request names."""

from contract.early_exit import exit_leads
from contract.errors import InvalidParameter
from service.engine.interface import Engine
from service.inference.bodies import Exit


def leads_for(exit: Exit, model: str, engine: Engine) -> tuple[int, ...] | None:
    """The least lead after each time step, None to run all of them.

    Raises `InvalidParameter` for a model without a calibration, and for one that runs in TorchServe.
    """
    if exit == "none":
        return None
    if engine.choice.name == "torchserve":
        message = "an early exit needs SNN_BACKEND=local: TorchServe runs all time steps"
        raise InvalidParameter(message, param="exit")
    leads = exit_leads(engine.card, confident=exit == "confident")
    if leads is None:
        raise InvalidParameter(
            f"model {model!r} is not calibrated for exit=confident: `python -m training calibrate {model}` publishes a "
            "version that is; exit=lossless needs no calibration",
            param="exit",
        )
    return leads
