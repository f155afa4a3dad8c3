"""The engine is not told what it throws away."""

import pulumi
import pytest
from pulumi.runtime import resource, rpc

from components.engine_log import KEPT, drop_debug_messages


@pytest.mark.parametrize("kept", [False, True])
def test_debug_messages_stay_here_unless_they_are_asked_for(monkeypatch: pytest.MonkeyPatch, kept: bool) -> None:
    before = pulumi.log.debug
    monkeypatch.setattr(pulumi.log, "debug", before)
    monkeypatch.setenv(KEPT, "1" if kept else "")
    drop_debug_messages()
    # Those that send most of them.
    for sender in (resource, rpc):
        assert (sender.log.debug is before) == kept
