"""The report of a study: one HTML page that needs nothing else, and its main tables as Markdown."""

import html
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from contract.files import replacing
from training.errors import ConfigError
from training.study.compare import Comparisons
from training.study.folder import REPORT_FILE
from training.study.result import Results
from training.study.results_file import read_results
from training.study.tables import Table, detail_tables, main_tables
from training.study.time_left import in_words

if TYPE_CHECKING:
    from training.study.figures.style import Drawing

TABLES_FILE = "tables.md"

STYLE = """
body { font: 11pt/1.45 system-ui, sans-serif; color: #111; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; }
h2 { margin-top: 2.2em; border-bottom: 1px solid #bbb; }
table { border-collapse: collapse; margin: 1em 0; font-size: 9.5pt; width: 100%; font-variant-numeric: tabular-nums; }
caption { caption-side: bottom; text-align: left; color: #444; padding-top: .4em; }
th, td { text-align: left; padding: .2em .6em; border-bottom: 1px solid #ddd; vertical-align: top; }
.number { text-align: right; white-space: nowrap; }
.table { overflow-x: auto; }
th { border-bottom: 2px solid #111; }
figure { margin: 1em 0; }
figure img { max-width: 100%; }
figcaption { color: #444; font-size: 9.5pt; }
.note { background: #f3f3f3; padding: .6em 1em; border-left: 4px solid #D55E00; }
@media print {
  body { max-width: none; margin: 0; font-size: 9pt; }
  table { font-size: 7.5pt; }
  figure, tr, li { break-inside: avoid; }
  figure img { max-height: 22cm; }
  h2 { break-after: avoid; }
}
"""


def write_report(root: Path) -> Path:
    """Draw the report of the study in `root` from its results; returns the path of the page.

    Raises `ConfigError` where there are no results, none of which is a finished run, or where Matplotlib is missing.
    """
    results = read_results(root)
    comparisons = Comparisons(results)
    if not comparisons.arms:
        raise ConfigError(f"{root} has no finished run yet")
    tables = main_tables(comparisons)
    with replacing(root / TABLES_FILE) as file:
        file.write("\n".join(table.to_markdown() for table in tables).encode())
    with replacing(root / REPORT_FILE) as file:
        file.write(_page(results, comparisons, tables, root).encode())
    return root / REPORT_FILE


def _page(results: Results, comparisons: Comparisons, tables: Sequence[Table], root: Path) -> str:
    study = results.study
    questions = "".join(f"<li>{html.escape(question)}</li>" for question in study.questions)
    parts = [
        f"<h1>{html.escape(study.title)}</h1>",
        f"<p>{html.escape(_summary(results, comparisons))}</p>",
        "" if results.complete else f'<p class="note">{html.escape(_missing(results))}</p>',
        f"<h2>Questions</h2><p>They were written before the results were seen.</p><ol>{questions}</ol>",
        "<h2>Results</h2>",
        *(_table(table) for table in tables),
        "<h2>Figures</h2>",
        *_figures(comparisons, root),
        "<h2>Settings</h2>",
        *(_table(table) for table in detail_tables(comparisons)),
        "<h2>Method</h2>",
        _method(results, comparisons),
    ]
    title = html.escape(study.title)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>\n<body>\n'
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _summary(results: Results, comparisons: Comparisons) -> str:
    data = results.data
    run = comparisons.first_run(comparisons.arms[0])
    return (
        f"{len(results.study.arms)} arms at {len(results.study.seeds)} seeds on {data.name}: {run.samples:,} samples "
        f"to train on, {run.validation.samples if run.validation else 0:,} for validation, {data.test_samples:,} for "
        "the test."
    )


def _missing(results: Results) -> str:
    diverged = [f"{run.arm} at seed {run.seed}" for run in results.runs if run.run.error]
    planned = len(results.study.arms) * len(results.study.seeds)
    text = f"The study is not complete: {len(results.runs)} of {planned} runs are."
    return text + (f" The training diverged in {', '.join(diverged)}." if diverged else "")


def _table(table: Table) -> str:
    return f'<h3>{html.escape(table.title)}</h3>\n<div class="table">{table.to_html()}</div>'


def _figures(comparisons: Comparisons, root: Path) -> list[str]:
    return [
        f'<figure><h3>{html.escape(each.title)}</h3><img alt="{html.escape(each.title)}" src="{each.data_uri}">'
        f"<figcaption>{html.escape(each.caption)}</figcaption></figure>"
        for each in drawings(comparisons, root)
    ]


def drawings(comparisons: Comparisons, root: Path) -> "list[Drawing]":
    """All figures of a study; `ConfigError` where Matplotlib is missing."""
    try:
        from training.study.figures import costs, curves, depths, noise, rates, search, thresholds
    except ImportError as error:
        raise ConfigError("the report needs Matplotlib: pip install 'stl-snn[study]'") from error
    found = [
        costs.overview(comparisons),
        depths.depths(comparisons),
        costs.by_layer(comparisons),
        *noise.noises(comparisons),
        curves.epochs(comparisons),
        rates.by_depth(comparisons),
        rates.by_step(comparisons),
        rates.raster(comparisons),
        thresholds.histograms(comparisons),
        thresholds.threshold_map(comparisons, root),
        curves.gradients(comparisons),
        search.surface(comparisons),
        search.search(comparisons),
    ]
    return [each for each in found if each is not None]


def _method(results: Results, comparisons: Comparisons) -> str:
    study, data = results.study, results.data
    run = comparisons.first_run(comparisons.arms[0])
    made = sorted(
        {
            f"{made_by.project_version} ({made_by.git_commit or 'no commit'}), torch {made_by.torch_version}"
            for made_by in (each.run.made_by for each in results.runs)
        }
    )
    took = in_words(sum(each.run.cpu_seconds for each in results.runs))
    points = [
        f"Data: {data.name}, fingerprint {data.fingerprint}. {data.attribution or ''}",
        f"Seeds {', '.join(map(str, study.seeds))}. At each seed, all arms have the same validation split, order of "
        "samples, Poisson draws and noise, and networks of the same shape and norm the same initial weights.",
        "Each arm's settings were chosen on the validation part at a seed of their own. The epoch was chosen on the "
        "validation part too. The test part was used at the end of each run.",
        "All measurements are of the exported form, which the service runs, with seed 0.",
        f"Network: {run.settings['network']}, T {run.timesteps}, {run.settings['epochs']} epochs, batches of "
        f"{run.settings['batch_size']}.",
        f"Made by release {'; '.join(made)}. The runs took {took} of CPU time.",
    ]
    return "<ul>" + "".join(f"<li>{html.escape(point)}</li>" for point in points) + "</ul>"
