"""Following a job: its events as they happen, across connections that break. No socket: both clients drive it."""

import json

import httpx

from stl_snn_client.answers import Job, JobEvent
from stl_snn_client.attempts import Attempts
from stl_snn_client.call import Call
from stl_snn_client.calls.jobs import has_ended, live_events
from stl_snn_client.server_sent_events import EventDecoder

JobMessage = JobEvent | Job

RETRIES_FACTOR = 4  # of a request's: with two, a service may be away for a minute, as when it is restarted


class JobFollower:
    """What is to be requested next, and what has arrived. `is_done` once the job has ended."""

    def __init__(self, job_id: str, last_event_id: str | None, retries: int) -> None:
        self.is_done = False
        self._job_id = job_id
        self._last_id = last_event_id
        self._decoder = EventDecoder()
        self._attempts = Attempts(self.call, RETRIES_FACTOR * retries)

    @property
    def call(self) -> Call[bytes]:
        """The request for the events after the last one that was received."""
        return live_events(self._job_id, self._last_id)

    def take(self, data: bytes) -> list[JobMessage]:
        """The messages that are complete with these bytes of the present connection."""
        found: list[JobMessage] = []
        for message in self._decoder.feed(data):
            self._attempts.begin_again()
            self._last_id = message.last_id or self._last_id
            if message.event == "fine_tuning.job":
                job: Job = json.loads(message.data)
                self.is_done = has_ended(job)
                found.append(job)
            elif message.event == "fine_tuning.job.event":
                event: JobEvent = json.loads(message.data)
                found.append(event)
        return found

    def wait_after(self, outcome: httpx.Response | httpx.TransportError) -> float:
        """Seconds until the next connection, after a response that was refused or ended, or a broken connection.

        Raises the error if there is no other attempt.
        """
        self._decoder = EventDecoder()
        wait = self._attempts.wait_after(outcome)
        if wait is None:  # the service ended the stream before the job: it shuts down
            wait = self._attempts.wait_after(httpx.RemoteProtocolError("the stream of events ended before the job"))
        return wait or 0.0
