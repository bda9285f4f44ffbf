from pathlib import Path

import pytest

from tests.training.study.studies import inline, tiny_study
from training.study.result import Results
from training.study.results_file import read_results
from training.study.run import run_study


@pytest.fixture(scope="package")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Results]:
    """The folder and the results of a tiny study; tests copy the folder before they change it."""
    root = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.study.run._processes", inline)
        run_study(tiny_study(), root)
    return root, read_results(root)
