"""How the service reaches the jobs database: never for long.

What cannot be had within two seconds fails, so that a request about a job is answered instead of waiting for a
database that is down, or locked by somebody else.
"""

import sqlite3
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from contract.errors import JobsUnavailable

PATIENCE_SECONDS = 2
CONNECTIONS = 4


def is_sqlite(url: str) -> bool:
    """Whether the database is a file."""
    return url.startswith("sqlite")


def sqlite_file(url: str) -> Path | None:
    """The database's file, None for a server."""
    return Path(str(sa.make_url(url).database)) if is_sqlite(url) else None


def make_engine(url: str) -> sa.Engine:
    """An engine for the database at `url`, which is not connected to yet.

    On SQLite a locked database is `JobsUnavailable`, after a short wait and not before.
    """
    pool: dict[str, Any] = {"pool_timeout": PATIENCE_SECONDS, "pool_size": CONNECTIONS, "max_overflow": 0}
    if is_sqlite(url):
        engine = sa.create_engine(url, **pool)
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "handle_error", _tell_locked, retval=True)
        return engine
    milliseconds = PATIENCE_SECONDS * 1000
    return sa.create_engine(
        sa.make_url(url).set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        connect_args={
            "application_name": "stl-snn",
            "connect_timeout": PATIENCE_SECONDS,
            "tcp_user_timeout": milliseconds,
            "options": f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds}",
        },
        **pool,
    )


def url_for_migration(url: str) -> str:
    """The same database, for whoever connects without a limit of its own."""
    if is_sqlite(url):
        return url
    limited = sa.make_url(url).update_query_dict({"connect_timeout": str(PATIENCE_SECONDS)})
    return limited.render_as_string(hide_password=False)


def try_to_write(engine: sa.Engine) -> None:
    """See that an SQLite database can be written, and let writers and readers of it get along (write-ahead log)."""
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        connection.rollback()


def _prepare_sqlite(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = "IMMEDIATE"  # writers take turns from their first statement on
    connection.execute(f"PRAGMA busy_timeout={PATIENCE_SECONDS * 1000}")
    connection.execute("PRAGMA foreign_keys=ON")


def _tell_locked(context: sa.engine.ExceptionContext) -> BaseException | None:
    """The engine would try again for ever."""
    if "database is locked" in str(context.original_exception):
        return JobsUnavailable("the jobs database is in use by somebody else; try again")
    return None
