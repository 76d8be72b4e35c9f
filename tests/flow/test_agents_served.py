"""The app process is killed while a model is asked: nothing is asked twice, and the customer is helped."""

from pathlib import Path

import pytest

from flow.test_plans import LOOK, POLICY, inference, replayed, story
from model_server import Reply, propose
from running import until

PATIENT = POLICY.replace("approval: 10m", "approval: 10m\n        timeout: 3m")


@pytest.mark.timeout(180)
def test_what_was_answered_and_what_was_under_way_are_not_asked_again(tmp_path: Path) -> None:
    late = propose(message="Too late.")
    with story(tmp_path, LOOK, Reply(hold=True), late, policy=PATIENT) as (told, model):
        told.happens(
            "payment.failed", payment="p1", customer="c7", email="", text="my card was declined"
        )
        for _ in range(2):
            until(lambda: model.arrived.acquire(blocking=False))
        told.server.kill("app")
        model.release()
        (message,) = told.messages(1)
        assert "You can try another card." in message["body"]
        how = inference(told)
        assert (how["by"], how["fallback"], how["calls"]) == ("composer", "cut-off", 2)
        assert len(model.requests) == 2
        replayed(told)
