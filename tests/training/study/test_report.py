import base64
import math
import re
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from training.errors import ConfigError
from training.study.compare import Comparisons
from training.study.figures.thresholds import threshold_map
from training.study.report import drawings, write_report
from training.study.result import Results
from training.study.results_file import read_results
from training.study.tables import detail_tables, main_tables

Whole = tuple[Path, Results]


@pytest.fixture(scope="module")
def page(whole: Whole, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    root = shutil.copytree(whole[0], tmp_path_factory.mktemp("report") / "study")
    return root, write_report(root).read_text()


def test_the_report_begins_with_the_questions_and_needs_nothing_else(page: tuple[Path, str]) -> None:
    text = page[1]
    assert text.index("Does it run?") < text.index("Paired differences") < text.index("<img ")
    assert re.findall(r'(?:src|href)="(?!data:image/svg\+xml;base64,)', text) == []
    assert "<script" not in text
    assert text.count("<img ") == 13


def test_every_figure_is_drawn_and_its_picture_is_whole(page: tuple[Path, str]) -> None:
    titles = re.findall(r"<figure><h3>([^<]*)</h3>", page[1])
    assert "Thresholds of the first convolution by position" in titles
    assert {"Under noise: gaussian", "Under noise: weights"} <= set(titles)
    for picture in re.findall(r"data:image/svg\+xml;base64,([^\"]*)", page[1]):
        assert ElementTree.fromstring(base64.b64decode(picture)).tag == "{http://www.w3.org/2000/svg}svg"


def test_every_row_of_a_table_has_the_columns_of_its_heading(whole: Whole) -> None:
    comparisons = Comparisons(whole[1])
    tables = main_tables(comparisons) + detail_tables(comparisons)
    assert len(tables) == 8
    for table in tables:
        assert {len(row) for row in table.rows} == {len(table.heading)}, table.title
        assert table.to_html().count("<tr>") == len(table.rows) + 1


def test_tables_for_documents_are_written_beside_the_report(page: tuple[Path, str], whole: Whole) -> None:
    text = (page[0] / "tables.md").read_text()
    accuracies = [100 * run.run.test.accuracy for run in whole[1].runs if run.arm == "sl" and run.run.test]
    assert re.search(rf"\| SL \| 2 \| {sum(accuracies) / 2:.2f} ± ", text)


def test_synaptic_activity_stands_beside_the_crossover(whole: Whole) -> None:
    [table] = [each for each in detail_tables(Comparisons(whole[1])) if each.title == "Kinds of operations"]
    runs = [run.run for run in whole[1].runs if run.arm == "sl"]
    steps = runs[0].timesteps
    behind_spikes = sum(layer.dense_macs for layer in runs[0].layers if layer.operation == "ac")
    shares = [100 * run.test.accumulates / (behind_spikes * steps) for run in runs if run.test]
    [row] = [row for row in table.rows if row[0] == "SL"]
    assert row[3].startswith(f"{sum(shares) / len(shares):.2f} ± ")
    assert row[4] == f"{100 * math.ceil(math.log2(steps + 1)) / (11 * steps):.1f}"


def test_an_incomplete_study_says_so(whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.study.report.drawings", lambda *_: [])
    results = whole[1].model_copy(update={"complete": False, "runs": whole[1].runs[:2]})
    (tmp_path / "results.json").write_text(results.model_dump_json())
    text = write_report(tmp_path).read_text()
    assert "The study is not complete: 2 of 4 runs are." in text
    assert "one seed" in text  # no difference can be tested


def test_the_map_of_thresholds_is_left_out_without_the_models(whole: Whole, tmp_path: Path) -> None:
    assert threshold_map(Comparisons(whole[1]), tmp_path) is None


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there are no results in"):
        write_report(tmp_path)
    (tmp_path / "results.json").write_text('{"format_version": 1}')
    with pytest.raises(ConfigError, match=r"cannot be read by this release: study: Field required"):
        read_results(tmp_path)


def test_without_matplotlib_the_report_says_what_to_install(whole: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("training.study.figures", "matplotlib"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r"pip install 'stl-snn\[study\]'"):
        drawings(Comparisons(whole[1]), whole[0])
