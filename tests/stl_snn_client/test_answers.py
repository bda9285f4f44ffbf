"""The typed answers are those that the service documents."""

import json
from pathlib import Path
from typing import Any, is_typeddict

import pytest

from stl_snn_client import answers

DOCUMENT: dict[str, Any] = json.loads((Path(__file__).parents[2] / "openapi.json").read_text())["components"]["schemas"]
SCHEMAS = {
    "ClassScore": "ClassScore",
    "LayerSpikes": "LayerSpikes",
    "Spikes": "Spikes",
    "LayerEnergy": "LayerEnergy",
    "Energy": "Energy",
    "TimeStep": "TimeStep",
    "Prediction": "Prediction",
    "Timing": "Timing",
    "PredictAnswer": "PredictAnswer",
    "Version": "VersionWithCard",
    "Model": "ModelWithPrevious",
    "Change": "ChangeBody",
    "Dataset": "DatasetBody",
    "File": "FileBody",
    "JobError": "JobErrorBody",
    "Progress": "ProgressBody",
    "Job": "JobBody",
    "JobEvent": "EventBody",
    "Checkpoint": "CheckpointBody",
    "Health": "Health",
    "Page": "JobList",
}


@pytest.mark.parametrize(("name", "schema"), SCHEMAS.items())
def test_every_field_is_documented_and_those_that_are_always_there_are_required(name: str, schema: str) -> None:
    kind = getattr(answers, name)
    documented = DOCUMENT[schema]
    assert is_typeddict(kind)
    assert kind.__annotations__.keys() <= documented["properties"].keys()
    assert kind.__required_keys__ <= set(documented["required"])
