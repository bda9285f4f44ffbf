"""Training of spiking networks with synapse-threshold synergistic learning."""

from importlib.util import find_spec

if missing := [name for name in ("pooch", "pytorch_lightning", "safetensors", "sklearn") if find_spec(name) is None]:
    raise SystemExit(
        f"training needs more than the service does, {', '.join(missing)} for one: "
        "make .venv/.development, or pip install 'stl-snn[training]'"
    )
