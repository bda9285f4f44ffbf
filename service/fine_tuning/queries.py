"""Queries of the jobs database: jobs, pages of them, places in the queue, counts, ages.

They read the tables of the jobs engine, DBOS Transact, without the engine: it would unpickle what a row tells it to,
and cannot filter on SQLite.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from contract.errors import JobNotFound
from contract.job_spec import WORKFLOW
from service.fine_tuning import payloads
from service.fine_tuning.filters import carries
from service.fine_tuning.job import ENDED, STATUSES, WAITING, JobRow, Status

_COLUMNS = (
    "workflow_uuid",
    "status",
    "name",
    "created_at",
    "started_at_epoch_ms",
    "completed_at",
    "priority",
    "serialization",
    "attributes",
    "inputs",
    "error",
)
_MS_A_DAY = 24 * 3600 * 1000


class JobQueries:
    """Reads DBOS's table of workflows; jobs are those named `WORKFLOW`. Every method blocks on the database.

    Rows with a state that no job can have are left out everywhere.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._is_sqlite = engine.dialect.name == "sqlite"
        schema = None if self._is_sqlite else "dbos"
        self._table = sa.table("workflow_status", *(sa.column(name) for name in _COLUMNS), schema=schema)
        self._inputs = sa.table("workflow_input", sa.column("workflow_uuid"), sa.column("inputs"), schema=schema)
        self._steps = sa.table("operation_outputs", sa.column("workflow_uuid"), schema=schema)
        self._outputs = sa.table("workflow_output", sa.column("workflow_uuid"), sa.column("error"), schema=schema)
        columns = self._table.c
        # SQLite's creation times are whole seconds; within a second, the row number gives the order.
        rowid: sa.ColumnElement[Any] = sa.literal_column("workflow_status.rowid")
        self._place = rowid if self._is_sqlite else columns.workflow_uuid
        # the clock that DBOS stamps rows with
        epoch = sa.func.strftime("%s", "now") if self._is_sqlite else sa.func.extract("epoch", sa.func.now())
        self._now_ms = sa.cast(epoch * 1000, sa.BigInteger)
        self._is_job = sa.and_(columns.name == WORKFLOW, columns.status.in_(list(STATUSES)))

    def row(self, identity: str) -> JobRow | None:
        """The row of one job with its whole specification; None where it does not exist."""
        if "\0" in identity:
            return None
        inputs = sa.func.coalesce(self._inputs.c.inputs, self._table.c.inputs)
        joined = self._with_error().outerjoin(self._inputs, self._inputs.c.workflow_uuid == self._table.c.workflow_uuid)
        query = sa.select(*self._selected(), inputs.label("inputs")).select_from(joined)
        rows = self._rows(query.where(self._is_job, self._table.c.workflow_uuid == identity))
        if not rows:
            return None
        text = rows[0].inputs
        return _row(rows[0], payloads.specification(text, rows[0].serialization), size=len(str(text).encode()))

    def state(self, identity: str) -> str | None:
        """The state of one job; None where it does not exist."""
        if "\0" in identity:
            return None
        columns = self._table.c
        rows = self._rows(sa.select(columns.status).where(self._is_job, columns.workflow_uuid == identity))
        return rows[0].status if rows else None

    def summaries(self, ids: Sequence[str]) -> dict[str, JobRow]:
        """The rows of these jobs by id, with summaries of their specifications; without those that do not exist."""
        query = sa.select(*self._selected()).select_from(self._with_error())
        query = query.where(self._is_job, self._table.c.workflow_uuid.in_(list(ids)))
        return {row.workflow_uuid: self._summary(row) for row in self._rows(query)}

    def page(
        self,
        *,
        after: str | None,
        status: Status | None,
        metadata: Mapping[str, str] | None,
        oldest_first: bool,
        limit: int,
    ) -> list[JobRow]:
        """The rows of a page of jobs, in its order, with summaries; `JobNotFound` for an unknown `after`.

        `metadata` selects the jobs with all of these pairs; an empty one selects the jobs without metadata.
        """
        columns = self._table.c
        age = sa.tuple_(columns.created_at, self._place)
        query = sa.select(*self._selected()).select_from(self._with_error()).where(self._is_job).limit(limit)
        if status is not None:
            query = query.where(columns.status.in_([name for name, known in STATUSES.items() if known == status]))
        if metadata is not None:
            query = query.where(carries(columns.attributes, metadata, is_sqlite=self._is_sqlite))
        if after is not None:
            if self.state(after) is None:
                raise JobNotFound(f"there is no fine-tuning job {after!r}", param="after")
            found = sa.select(columns.created_at, self._place).where(columns.workflow_uuid == after)
            there = sa.tuple_(*self._rows(found)[0])
            query = query.where(age > there if oldest_first else age < there)
        order = [column.asc() if oldest_first else column.desc() for column in (columns.created_at, self._place)]
        return [self._summary(row) for row in self._rows(query.order_by(*order))]

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

    def delete(self, identity: str) -> bool:
        """Delete an ended job; False, with nothing changed, for any other."""
        columns = self._table.c
        ended = columns.status.in_([name for name, status in STATUSES.items() if status in ENDED])
        with self._engine.begin() as connection:
            deleted = connection.execute(sa.delete(self._table).where(columns.workflow_uuid == identity, ended))
            for table in (self._inputs, self._outputs, self._steps):
                if deleted.rowcount:
                    connection.execute(sa.delete(table).where(table.c.workflow_uuid == identity))
        return bool(deleted.rowcount)

    def ended_before(self, days: float, limit: int) -> list[str]:
        """Jobs that ended more than `days` ago by the database's clock, the oldest first, at most `limit`."""
        columns = self._table.c
        ended = columns.status.in_([name for name, status in STATUSES.items() if status in ENDED])
        age = self._now_ms - columns.completed_at
        query = sa.select(columns.workflow_uuid).where(columns.name == WORKFLOW, ended, age > days * _MS_A_DAY)
        return [row[0] for row in self._rows(query.order_by(columns.completed_at).limit(limit))]

    def counts(self) -> dict[str, int]:
        """How many jobs have each status."""
        query = sa.select(self._table.c.status, sa.func.count()).group_by(self._table.c.status)
        counts = no_jobs()
        for status, number in self._rows(query.where(self._is_job)):
            counts[STATUSES[status]] += number
        return counts

    def summarize_older(self) -> None:
        """Give every job of an older release its summary, without which filters do not find it."""
        columns = self._table.c
        has_none = sa.or_(columns.attributes.is_(None), sa.cast(columns.attributes, sa.Text) == "null")
        query = sa.select(columns.workflow_uuid).where(self._is_job, has_none)
        for [identity] in self._rows(query):
            row = self.row(identity)
            if row is not None and (spec := row.spec) is not None:
                text = sa.literal(json.dumps(payloads.summary_of(spec)))
                value = text if self._is_sqlite else sa.cast(text, JSONB)
                update = sa.update(self._table).where(columns.workflow_uuid == identity, has_none)
                with self._engine.begin() as connection:
                    connection.execute(update.values(attributes=value))

    def _selected(self) -> list[sa.ColumnElement[Any]]:
        columns = self._table.c
        names = ("workflow_uuid", "status", "created_at", "started_at_epoch_ms", "completed_at", "serialization")
        error = sa.func.coalesce(self._outputs.c.error, columns.error)
        text = columns.attributes if self._is_sqlite else sa.cast(columns.attributes, sa.Text)
        return [*(columns[name] for name in names), error.label("error"), text.label("summary")]

    def _with_error(self) -> sa.FromClause:
        return self._table.outerjoin(self._outputs, self._outputs.c.workflow_uuid == self._table.c.workflow_uuid)

    def _summary(self, row: Any) -> JobRow:
        spec, labels = payloads.summary(row.summary)
        text = row.summary
        if spec is None:  # of a job that an older release has just made
            whole = self.row(row.workflow_uuid)
            if whole is None or whole.spec is None:
                return _row(row, None)
            text = json.dumps(payloads.summary_of(whole.spec))
            spec, labels = payloads.summary(text)
        return _row(row, spec, labels, len(text.encode()))

    def _rows(self, query: sa.Select[Any]) -> list[Any]:
        with self._engine.connect() as connection:
            return list(connection.execute(query))


def no_jobs() -> dict[str, int]:
    """The counts of a database without jobs."""
    return dict.fromkeys(STATUSES.values(), 0)


def _row(row: Any, specification: Any, label_count: int | None = None, size: int = 0) -> JobRow:
    return JobRow(
        id=row.workflow_uuid,
        state=row.status,
        specification=specification,
        label_count=label_count,
        size=size,
        failure=payloads.failure(row.error, row.serialization),
        created_at=_seconds(row.created_at) or 0.0,
        taken_at=_seconds(row.started_at_epoch_ms),
        ended_at=_seconds(row.completed_at),
    )


def _seconds(milliseconds: object) -> float | None:
    return milliseconds / 1000 if isinstance(milliseconds, int) else None
