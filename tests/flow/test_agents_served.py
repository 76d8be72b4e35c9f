"""The app process is killed while a model is asked: nothing is asked twice, and the customer is helped."""

from pathlib import Path

import pytest

from flow.test_plans import LOOK, POLICY, inference, replayed, story
from model_server import Reply, propose
from running import until

PATIENT = POLICY.replace("approval: 10m", "approval: 10m\n        timeout: 3m")
HELD = Reply(hold=True)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("before", [(), (LOOK,)], ids=["first-call", "second-call"])
def test_a_call_under_way_is_spent_and_not_sent_again(
    tmp_path: Path, before: tuple[Reply, ...]
) -> None:
    late = propose(message="Too late.")
    with story(tmp_path, *before, HELD, late, policy=PATIENT) as (told, model):
        told.happens(
            "payment.failed", payment="p1", customer="c7", email="", text="my card was declined"
        )
        for _ in range(len(before) + 1):
            until(lambda: model.arrived.acquire(blocking=False))
        told.server.kill("app")
        model.release()
        (message,) = told.messages(1)
        assert "You can try another card." in message["body"]
        how = inference(told)
        assert (how["by"], how["fallback"], how["calls"]) == (
            "composer",
            "cut-off",
            len(before) + 1,
        )
        assert len(model.requests) == len(before) + 1
        replayed(told)
