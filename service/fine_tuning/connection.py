"""Connections to the jobs database that never block for long.

A request about a job is answered within seconds, with an error where the database is down or locked by another process.
"""

import sqlite3
from pathlib import Path
from time import monotonic
from typing import Any

import sqlalchemy as sa

from contract.errors import JobsUnavailable

TIMEOUT_SECONDS = 2
CONNECTIONS = 4
_STEPS = 10_000  # of SQLite's virtual machine, between two looks at the clock


def is_sqlite(url: str) -> bool:
    """Whether the database is a file."""
    return url.startswith("sqlite")


def sqlite_file(url: str) -> Path | None:
    """The database's file, None for a server."""
    return Path(str(sa.make_url(url).database)) if is_sqlite(url) else None


def make_engine(url: str) -> sa.Engine:
    """An engine for the database at `url`; it connects on first use.

    A locked SQLite database raises `JobsUnavailable` after a short wait.
    """
    pool: dict[str, Any] = {"pool_timeout": TIMEOUT_SECONDS, "pool_size": CONNECTIONS, "max_overflow": 0}
    if is_sqlite(url):
        engine = sa.create_engine(url, **pool)
        sa.event.listen(engine, "connect", _configure_sqlite)
        sa.event.listen(engine, "handle_error", _raise_when_locked, retval=True)
        sa.event.listen(engine, "before_cursor_execute", _bound_in_time)
        return engine
    milliseconds = TIMEOUT_SECONDS * 1000
    return sa.create_engine(
        sa.make_url(url).set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        connect_args={
            "application_name": "stl-snn",
            "connect_timeout": TIMEOUT_SECONDS,
            "tcp_user_timeout": milliseconds,
            "options": f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds}",
        },
        **pool,
    )


def url_for_migration(url: str) -> str:
    """The same database with a bounded time to connect, for code that sets no limit of its own."""
    if is_sqlite(url):
        return url
    limited = sa.make_url(url).update_query_dict({"connect_timeout": str(TIMEOUT_SECONDS)})
    return limited.render_as_string(hide_password=False)


def set_up_sqlite(engine: sa.Engine) -> None:
    """Make sure that an SQLite database is writable, and switch it to a write-ahead log.

    With that log, readers do not wait for writers.
    """
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        connection.rollback()


def _configure_sqlite(connection: sqlite3.Connection, _: object) -> None:
    connection.text_factory = lambda text: text.decode("utf-8", "replace")  # else a bad row hides all others
    connection.isolation_level = "IMMEDIATE"  # writers take turns from their first statement on
    connection.execute(f"PRAGMA busy_timeout={TIMEOUT_SECONDS * 1000}")
    connection.execute("PRAGMA foreign_keys=ON")


def _bound_in_time(connection: sa.Connection, cursor: sqlite3.Cursor, *_: object) -> None:
    """Have SQLite interrupt a statement that takes too long, as a server does."""
    end = monotonic() + TIMEOUT_SECONDS
    cursor.connection.set_progress_handler(lambda: monotonic() > end, _STEPS)


def _raise_when_locked(context: sa.engine.ExceptionContext) -> BaseException | None:
    """Replace the database's own error, after which the jobs engine would retry for ever."""
    if "database is locked" in str(context.original_exception):
        return JobsUnavailable("another process has locked the jobs database; try again")
    return None
