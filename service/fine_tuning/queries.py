"""Queries of the jobs database that DBOS's client lacks: pages of jobs, places in the queue, counts, ages."""

from typing import Any

import sqlalchemy as sa

from contract.errors import JobNotFound
from contract.job_spec import WORKFLOW
from service.fine_tuning.job import STATUSES, WAITING, Status

_COLUMNS = ("workflow_uuid", "status", "name", "created_at", "started_at_epoch_ms", "priority")


class JobQueries:
    """Reads DBOS's table of workflows; jobs are those named `WORKFLOW`. Every method blocks on the database."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        is_sqlite = engine.dialect.name == "sqlite"
        columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in _COLUMNS]
        self._table = sa.table("workflow_status", *columns, schema=None if is_sqlite else "dbos")
        # SQLite's creation times are whole seconds; within a second, the row number gives the order.
        self._place: sa.ColumnElement[Any] = sa.literal_column("rowid") if is_sqlite else self._table.c[_COLUMNS[0]]
        # the clock that DBOS stamps rows with
        epoch = sa.func.strftime("%s", "now") if is_sqlite else sa.func.extract("epoch", sa.func.now())
        self._now_ms = sa.cast(epoch * 1000, sa.BigInteger)

    def ids(self, *, after: str | None, status: Status | None, oldest_first: bool, limit: int) -> list[str]:
        """The ids of a page of jobs, in its order; `JobNotFound` for an unknown `after`."""
        columns = self._table.c
        age = sa.tuple_(columns.created_at, self._place)
        query = sa.select(columns.workflow_uuid).where(columns.name == WORKFLOW).limit(limit)
        if status is not None:
            query = query.where(columns.status.in_([name for name, known in STATUSES.items() if known == status]))
        if after is not None:
            mark = self._rows(sa.select(columns.created_at, self._place).where(columns.workflow_uuid == after))
            if not mark:
                raise JobNotFound(f"there is no fine-tuning job {after!r}", param="after")
            there = sa.tuple_(*mark[0])
            query = query.where(age > there if oldest_first else age < there)
        order = [column.asc() if oldest_first else column.desc() for column in (columns.created_at, self._place)]
        return [row[0] for row in self._rows(query.order_by(*order))]

    def places(self) -> dict[str, int]:
        """The place of each waiting job, from 1, in the order in which workers take them."""
        columns = self._table.c
        query = sa.select(columns.workflow_uuid).where(columns.name == WORKFLOW, columns.status.in_(WAITING))
        rows = self._rows(query.order_by(columns.priority, columns.created_at, self._place))
        return {row[0]: place for place, row in enumerate(rows, start=1)}

    def seconds_since_taken(self, identity: str) -> float | None:
        """Seconds since a worker last took the job from the queue, by the database's clock; None if none ever has."""
        columns = self._table.c
        age = self._now_ms - columns.started_at_epoch_ms
        [[milliseconds]] = self._rows(sa.select(age).where(columns.workflow_uuid == identity)) or [[None]]
        return None if milliseconds is None else float(milliseconds) / 1000

    def counts(self) -> dict[str, int]:
        """How many jobs have each status."""
        query = sa.select(self._table.c.status, sa.func.count()).group_by(self._table.c.status)
        counts = no_jobs()
        for status, number in self._rows(query.where(self._table.c.name == WORKFLOW)):
            counts[STATUSES[status]] += number
        return counts

    def _rows(self, query: sa.Select[Any]) -> list[Any]:
        with self._engine.connect() as connection:
            return list(connection.execute(query))


def no_jobs() -> dict[str, int]:
    """The counts of a database without jobs."""
    return dict.fromkeys(STATUSES.values(), 0)
