"""Conditions on the summaries of jobs, which a column of the jobs database holds as JSON."""

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

_METADATA = "$.spec.metadata"


def carries(summary: sa.ColumnElement[Any], metadata: Mapping[str, str], *, is_sqlite: bool) -> sa.ColumnElement[bool]:
    """Whether the job has all these pairs of metadata; without pairs, whether it has no metadata.

    A summary that is not JSON meets no condition.
    """
    if any("\0" in text for pair in metadata.items() for text in pair):
        return sa.false()  # which no job has
    if not is_sqlite:
        if metadata:
            return summary.op("@>", is_comparison=True)(_jsonb({"spec": {"metadata": dict(metadata)}}))
        return sa.cast(summary, JSONB)["spec"]["metadata"] == _jsonb({})
    valid = sa.case((sa.func.json_valid(summary) == 1, summary))
    if not metadata:
        return sa.func.json_extract(valid, _METADATA) == "{}"
    pairs = sa.func.json_each(valid, _METADATA).table_valued("key", "value")
    return sa.and_(
        *(
            sa.exists(sa.select(1).select_from(pairs).where(pairs.c.key == key, pairs.c.value == value))
            for key, value in metadata.items()
        )
    )


def _jsonb(value: Any) -> sa.ColumnElement[Any]:
    return sa.cast(sa.literal(json.dumps(value)), JSONB)
