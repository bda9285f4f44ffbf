"""`AsyncClient`: the service's routes as coroutines. It sends the same calls as `Client`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
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
    from stl_snn_client.async_stream import AsyncStream

T = TypeVar("T")


class AsyncClient(ServiceApi):
    """A client of one service, for one event loop; its arguments are those of `Client`."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout: float | None = None,
        retries: int = 2,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._options = Options.of(url, api_key, timeout, retries)
        self._http = httpx.AsyncClient(transport=transport, limits=LIMITS)
        self.files = AsyncFiles(self)
        self.fine_tune = AsyncFineTune(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, call: Call[T]) -> T:
        """The answer to a call, which is sent again where that does no harm."""
        attempts = Attempts(call, self._options.retries)
        while True:
            outcome = await self._attempt(call)
            wait = attempts.wait_after(outcome)
            if wait is None and isinstance(outcome, httpx.Response):
                return call.read(outcome.content)
            await asyncio.sleep(wait or 0)

    async def pages(self, call: Call[Page[T]]) -> AsyncIterator[T]:
        """The items of a list, whose pages are fetched when they are needed."""
        following: Call[Page[T]] | None = call
        while following is not None:
            page = await self.send(following)
            for item in page["data"]:
                yield item
            following = page_after(following, page)

    def stream(self, model: str, *, format: str = "events13", **parameters: Any) -> AsyncStream:
        """A stream of live events, to be opened by `async with`; `parameters` are those of the route's query."""
        from stl_snn_client.async_stream import AsyncStream

        return AsyncStream(self._options, model, format, parameters)

    async def follow(self, job_id: str, last_event_id: str | None = None) -> AsyncIterator[JobMessage]:
        """The same as `fine_tune.events`."""
        follower = JobFollower(job_id, last_event_id, self._options.retries)
        while not follower.is_done:
            outcome: httpx.Response | httpx.TransportError
            try:
                async with self._http.stream(**self._options.request(follower.call, {})) as outcome:
                    if not outcome.is_success:
                        await outcome.aread()
                    else:
                        async for data in outcome.aiter_bytes():
                            for message in follower.take(data):
                                yield message
            except httpx.TransportError as error:
                outcome = error
            if not follower.is_done:
                await asyncio.sleep(follower.wait_after(outcome))

    async def _attempt(self, call: Call[Any]) -> httpx.Response | httpx.TransportError:
        with call.body() as body:
            try:
                return await self._http.request(**self._options.request(call, body))
            except httpx.TransportError as error:
                return error


class AsyncGroup:
    """Methods that send by their client."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def send(self, call: Call[T]) -> T:
        """The answer to a call."""
        return await self._client.send(call)

    def pages(self, call: Call[Page[T]]) -> AsyncIterator[T]:
        """The items of a list."""
        return self._client.pages(call)


class AsyncFiles(AsyncGroup, FilesApi):
    """`client.files`: data sets for fine-tuning."""


class AsyncFineTune(AsyncGroup, JobsApi):
    """`client.fine_tune`: fine-tuning jobs."""

    def events(self, job_id: str, *, last_event_id: str | None = None) -> AsyncIterator[JobMessage]:
        """The events of a job as they happen, and the job whenever its status changes; the last one has ended.

        A connection that breaks is opened again, after the last event that was received.
        """
        return self._client.follow(job_id, last_event_id)

    async def wait(self, job_id: str, *, timeout: float | None = None, every: float = 1.0) -> Job:
        """The job once it has ended, asked for `every` so many seconds; `TimeoutError` after `timeout` seconds."""
        deadline = jobs.deadline_after(timeout)
        while not jobs.has_ended(job := await self.retrieve(job_id)):
            await asyncio.sleep(jobs.pause_before(deadline, every, job))
        return job
