"""Replicas of the service on several Ray nodes: the same answers as from one process, whatever happens to replicas."""

import json
import socket
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.e2e.jobs import MODEL, World
from tests.ray.load import PIXELS, Load, load
from tests.tiny import EVENT_STEPS, moving_bar

if TYPE_CHECKING:
    from tests.ray.cluster import RayCluster

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]

BAR = moving_bar(np.random.default_rng(1), right=True)
COLUMNS = {name: BAR[:, index].tolist() for index, name in enumerate("txyp")}
CLIENTS = 4


def until(condition: Callable[[], object]) -> None:
    from tests.ray.cluster import until as wait

    wait(condition)


def check_none_is_answered_twice(ray_cluster: "RayCluster", working: Load) -> None:
    answered = Counter(line.split("[")[1].split("]")[0] for line in ray_cluster.lines("POST /v1/models/tiny-image"))
    assert max(answered[each.id] for each in working.requests) == 1
    assert all(answered[each.id] == 1 for each in working.requests if each.status == 200)


def test_every_replica_answers_as_one_process_does(ray_cluster: "RayCluster", expected: Callable[[int], Any]) -> None:
    with load(ray_cluster.url, clients=CLIENTS) as working:
        time.sleep(3)
    assert len(working.requests) > 32
    assert working.failed() == []
    assert working.wrong(expected) == []
    check_none_is_answered_twice(ray_cluster, working)
    ids = {each.id for each in working.requests}
    answering = {
        file.name
        for file in ray_cluster.logs.glob("worker-*.err")
        if any(line.split("[")[1].split("]")[0] in ids for line in ray_cluster.lines_of(file, "POST /v1/models"))
    }
    assert len(answering) == 2


def test_streams_decide_as_predictions_do(ray_cluster: "RayCluster") -> None:
    with ray_cluster.client() as client:
        [predicted] = client.predict("tiny-events", {"events": COLUMNS})["predictions"]
        with client.stream("tiny-events", format="json") as stream:
            stream.send(COLUMNS)
            stream.close()
            decisions = list(stream)
    assert len(decisions) == EVENT_STEPS
    assert (decisions[-1]["label"], decisions[-1]["score"]) == (predicted["label"], predicted["score"])


def test_a_post_stream_answers_while_its_body_comes_in(ray_cluster: "RayCluster") -> None:
    head = (
        "POST /v1/models/tiny-events/stream?format=json HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    )
    events = json.dumps({"events": COLUMNS})
    with socket.create_connection(("127.0.0.1", ray_cluster.port)) as camera, camera.makefile("rb") as answer:
        camera.settimeout(20)
        camera.sendall(f"{head}Content-Type: application/x-ndjson\r\n\r\n".encode() + chunk(events, '{"type":"flush"}'))
        lines = (json.loads(line) for line in answer if line.startswith(b"{"))
        assert next(lines)["type"] == "ready"
        assert [next(lines)["step"] for _ in range(EVENT_STEPS)] == list(range(EVENT_STEPS))
        camera.sendall(chunk('{"type":"close"}') + b"0\r\n\r\n")
        assert next(lines)["type"] == "closed"


def chunk(*lines: str) -> bytes:
    text = "".join(f"{line}\n" for line in lines).encode()
    return b"%x\r\n%b\r\n" % (len(text), text)


def test_a_version_fine_tuned_and_promoted_by_one_replica_is_served_by_all(
    ray_cluster: "RayCluster", world: World
) -> None:
    file = world.upload()
    with ray_cluster.client() as client, world.worker():
        job = client.fine_tune.create(MODEL, file.id, n_epochs=2)
        messages = list(client.follow(job["id"]))
        assert {message["object"] for message in messages} == {"fine_tuning.job", "fine_tuning.job.event"}
        done = client.fine_tune.retrieve(job["id"])
        assert done["status"] == "succeeded"
        version = int((done["fine_tuned_model"] or "").split("/")[1])
        client.promote(MODEL, version)
        time.sleep(1.5)  # more than two scans of the store
        try:
            assert {client.predict(MODEL, {"pixels": PIXELS})["version"] for _ in range(40)} == {version}
        finally:
            client.promote(MODEL, 1)
            time.sleep(1.5)


def test_a_killed_replica_fails_its_own_requests_alone(
    ray_cluster: "RayCluster", expected: Callable[[int], Any]
) -> None:
    before = set(ray_cluster.replicas())
    with load(ray_cluster.url, clients=CLIENTS) as working:
        time.sleep(1)
        killed_at = time.monotonic()
        ray_cluster.kill(min(before))
        until(lambda: len(now := set(ray_cluster.replicas())) == 2 and now != before)
        time.sleep(1)
    check_after_a_death(ray_cluster, working, expected, killed_at)


def test_a_killed_node_fails_the_requests_of_its_replicas_alone(
    ray_cluster: "RayCluster", expected: Callable[[int], Any]
) -> None:
    before = set(ray_cluster.replicas())
    node = ray_cluster.node_of(min(before))
    with load(ray_cluster.url, clients=CLIENTS) as working:
        time.sleep(1)
        killed_at = time.monotonic()
        ray_cluster.kill_node(node)
        until(lambda: len(now := set(ray_cluster.replicas())) == 2 and now != before)
        time.sleep(1)
    ray_cluster.add_node()
    check_after_a_death(ray_cluster, working, expected, killed_at)


def check_after_a_death(
    ray_cluster: "RayCluster", working: Load, expected: Callable[[int], Any], killed_at: float
) -> None:
    """Those that failed were under way at one moment, soon after; every other one was answered right, and once."""
    assert len([each for each in working.requests if each.status == 200]) > 20
    assert working.wrong(expected) == []
    check_none_is_answered_twice(ray_cluster, working)
    failed = working.failed()
    print(f"{len(failed)} of {len(working.requests)} failed", [(x.started - killed_at, x.failure) for x in failed])
    assert len(failed) <= CLIENTS
    assert max((each.started for each in failed), default=0) <= min((each.ended for each in failed), default=0)
    assert all(each.ended - killed_at < 10 for each in failed)


def test_scaling_up_and_down_under_load_fails_no_request(
    ray_cluster: "RayCluster", expected: Callable[[int], Any]
) -> None:
    ray_cluster.deploy(1, 3)
    until(lambda: len(ray_cluster.replicas()) == 1)
    with load(ray_cluster.url, clients=1) as light:
        with load(ray_cluster.url, clients=8) as heavy:
            until(lambda: len(ray_cluster.replicas()) == 3)
            time.sleep(1)
        until(lambda: len(ray_cluster.replicas()) == 1)
    for working in (light, heavy):
        assert working.failed() == []
        assert working.wrong(expected) == []
        check_none_is_answered_twice(ray_cluster, working)
    ray_cluster.deploy(2)
