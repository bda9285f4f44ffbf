"""`Client`: the service's routes as methods that wait for their answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpx

from stl_snn_client.answers import Job, Page
from stl_snn_client.api import FilesApi, JobsApi, ServiceApi
from stl_snn_client.attempts import Attempts
from stl_snn_client.call import Call, page_after
from stl_snn_client.calls import jobs
from stl_snn_client.job_events import JobFollower, JobMessage
from stl_snn_client.options import DEFAULT_URL, LIMITS, Options

if TYPE_CHECKING:
    from stl_snn_client.stream import Stream

T = TypeVar("T")


class Client(ServiceApi):
    """A client of one service, for any number of threads.

    `timeout` is in seconds, for each attempt at a request. A request is sent again up to `retries` times, where that
    does no harm: after 429 and 503, and when the connection fails. `transport` replaces httpx's own.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout: float | None = None,
        retries: int = 2,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._options = Options.of(url, api_key, timeout, retries)
        self._http = httpx.Client(transport=transport, limits=LIMITS)
        self.files = Files(self)
        self.fine_tune = FineTune(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, call: Call[T]) -> T:
        """The answer to a call, which is sent again where that does no harm."""
        attempts = Attempts(call, self._options.retries)
        while True:
            outcome = self._attempt(call)
            wait = attempts.wait_after(outcome)
            if wait is None and isinstance(outcome, httpx.Response):
                return call.read(outcome.content)
            time.sleep(wait or 0)

    def pages(self, call: Call[Page[T]]) -> Iterator[T]:
        """The items of a list, whose pages are fetched when they are needed."""
        following: Call[Page[T]] | None = call
        while following is not None:
            page = self.send(following)
            yield from page["data"]
            following = page_after(following, page)

    def stream(self, model: str, *, format: str = "events13", **parameters: Any) -> Stream:
        """A stream of live events, to be opened by `with`; `parameters` are those of the route's query."""
        from stl_snn_client.stream import Stream

        return Stream(self._options, model, format, parameters)

    def follow(self, job_id: str, last_event_id: str | None = None) -> Iterator[JobMessage]:
        """The same as `fine_tune.events`."""
        follower = JobFollower(job_id, last_event_id, self._options.retries)
        while not follower.is_done:
            outcome: httpx.Response | httpx.TransportError
            try:
                with self._http.stream(**self._options.request(follower.call, {})) as outcome:
                    if not outcome.is_success:
                        outcome.read()
                    else:
                        for data in outcome.iter_bytes():
                            yield from follower.take(data)
            except httpx.TransportError as error:
                outcome = error
            if not follower.is_done:
                time.sleep(follower.wait_after(outcome))

    def _attempt(self, call: Call[Any]) -> httpx.Response | httpx.TransportError:
        with call.body() as body:
            try:
                return self._http.request(**self._options.request(call, body))
            except httpx.TransportError as error:
                return error


class Group:
    """Methods that send by their client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def send(self, call: Call[T]) -> T:
        """The answer to a call."""
        return self._client.send(call)

    def pages(self, call: Call[Page[T]]) -> Iterator[T]:
        """The items of a list."""
        return self._client.pages(call)


class Files(Group, FilesApi):
    """`client.files`: data sets for fine-tuning."""


class FineTune(Group, JobsApi):
    """`client.fine_tune`: fine-tuning jobs."""

    def events(self, job_id: str, *, last_event_id: str | None = None) -> Iterator[JobMessage]:
        """The events of a job as they happen, and the job whenever its status changes; the last one has ended.

        A connection that breaks is opened again, after the last event that was received.
        """
        return self._client.follow(job_id, last_event_id)

    def wait(self, job_id: str, *, timeout: float | None = None, every: float = 1.0) -> Job:
        """The job once it has ended, asked for `every` so many seconds; `TimeoutError` after `timeout` seconds."""
        deadline = jobs.deadline_after(timeout)
        while not jobs.has_ended(job := self.retrieve(job_id)):
            time.sleep(jobs.pause_before(deadline, every, job))
        return job
