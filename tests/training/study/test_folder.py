import json
import shutil
from pathlib import Path

from tests.training.study.studies import tiny_study
from training.study.folder import StudyFolder, make_task
from training.study.plan import NoisePlan
from training.study.result import Results
from training.study.schedule import Schedule

Whole = tuple[Path, Results]


def test_the_key_of_a_run_depends_on_settings_and_data_and_not_on_its_arm() -> None:
    study = tiny_study()
    config = study.config(study.arms[0], {"threshold": 0.3}, 1)

    def key(data: str = "a", **changes: object) -> str:
        changed = config.model_copy(update=changes)
        return make_task(changed, data, is_search=False, noise=NoisePlan()).key

    assert key() == key(name="other")
    assert key().startswith("sl-s1-")
    assert key(seed=2)[6:] == key()[6:]  # runs of one setting are seen to belong together
    others = {key(), key("b"), key(tau=0.4), key(epochs=3), key(mode="stl"), key(seed=2)}
    assert len(others) == 6


def test_a_field_that_is_added_with_its_default_does_not_change_the_key() -> None:
    study = tiny_study()
    config = study.config(study.arms[0], {}, 0)
    spelt_out = type(config)(**config.model_dump())
    assert spelt_out.model_fields_set > config.model_fields_set
    first, second = (make_task(each, "a", is_search=False, noise=NoisePlan()).key for each in (config, spelt_out))
    assert first == second


def test_a_result_of_other_settings_under_the_same_key_is_not_believed(whole: Whole, tmp_path: Path) -> None:
    root = shutil.copytree(whole[0], tmp_path / "copy")
    schedule = Schedule(tiny_study(), StudyFolder(root), whole[1].data.fingerprint)
    task = schedule.runs()[0].task
    folder = StudyFolder(root)
    assert folder.result(task) is not None
    file = folder.run_folder(task) / "result.json"
    result = json.loads(file.read_text())
    result["settings"]["tau"] = 0.75
    file.write_text(json.dumps(result))
    assert folder.result(task) is None


def test_a_search_is_not_taken_for_a_run_because_it_did_not_use_the_test_part(whole: Whole) -> None:
    schedule = Schedule(tiny_study(), StudyFolder(whole[0]), whole[1].data.fingerprint)
    search = schedule._searches["sl"][0][1]
    result = StudyFolder(whole[0]).result(search)
    assert result is not None
    assert result.test is None
    as_run = make_task(search.config, whole[1].data.fingerprint, is_search=False, noise=NoisePlan())
    assert as_run.key == search.key
    assert StudyFolder(whole[0]).result(as_run) is None


def test_results_on_other_data_are_done_anew(whole: Whole) -> None:
    folder = StudyFolder(whole[0])
    assert Schedule(tiny_study(), folder, whole[1].data.fingerprint).waiting() == []
    assert len(Schedule(tiny_study(), folder, "other").waiting()) == 4  # two searches, and two runs without a search


def test_runs_without_their_noise_are_not_complete(whole: Whole, tmp_path: Path) -> None:
    root = shutil.copytree(whole[0], tmp_path / "copy")
    schedule = Schedule(tiny_study(), StudyFolder(root), whole[1].data.fingerprint)
    task = schedule.runs()[0].task
    StudyFolder(root).noise_file(task).unlink()
    assert Schedule(tiny_study(), StudyFolder(root), whole[1].data.fingerprint).waiting() == [task]
    assert StudyFolder(root).noise(task) is None
