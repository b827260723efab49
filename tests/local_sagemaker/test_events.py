"""The bus: who is told of a change, and when."""

from __future__ import annotations

import pytest

from local_sagemaker.events import Bus, Change

CHANGE = Change("model-package", "g/1", None, "Completed", {})


def test_a_held_change_is_told_at_the_end_and_never_after_an_error() -> None:
    bus = Bus()
    heard: list[Change] = []
    bus.subscribe(heard.append)
    with bus.held():
        bus.publish(CHANGE)
        assert heard == []
    assert heard == [CHANGE]
    with pytest.raises(KeyError):
        publish_and_fail(bus)
    assert heard == [CHANGE]


def publish_and_fail(bus: Bus) -> None:
    with bus.held():
        bus.publish(CHANGE)
        raise KeyError("rolled back")
