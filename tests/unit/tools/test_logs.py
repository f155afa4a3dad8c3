"""scripts/logs: journals of several machines as one."""

import time
from collections.abc import Iterator

from scripts.cluster_logs import HOLD_SECONDS, Line, as_they_come, line_of


def test_an_entry_is_one_line() -> None:
    entry = {"__REALTIME_TIMESTAMP": "1764518400123456", "SYSLOG_IDENTIFIER": "php", "MESSAGE": "one\ntwo \x1b[2J"}
    assert str(line_of("php1", entry)) == "2025-11-30T16:00:00.123456Z php1   php: one two  [2J"


def test_what_is_no_text_is_shown_as_far_as_it_is() -> None:
    entry = {"__REALTIME_TIMESTAMP": "0", "_COMM": "site", "MESSAGE": [0x61, 0xFF, 0x62]}
    assert str(line_of("lb1", entry)).endswith(" site: a\N{REPLACEMENT CHARACTER}b")
    assert str(line_of("lb1", {"__REALTIME_TIMESTAMP": "0", "MESSAGE": None})).endswith(" lb1    -: ")


def test_lines_that_come_late_are_put_in_their_place() -> None:
    def late() -> Iterator[Line]:
        time.sleep(HOLD_SECONDS / 4)
        yield Line(1, "php1", "first")

    assert [line.text for line in as_they_come([[Line(2, "lb1", "second")], late()])] == ["first", "second"]


def test_a_line_does_not_wait_for_machines_that_are_silent() -> None:
    def silent() -> Iterator[Line]:
        time.sleep(HOLD_SECONDS * 4)
        yield Line(1, "php1", "much later")

    begun = time.monotonic()
    assert next(as_they_come([[Line(2, "lb1", "said")], silent()])).text == "said"
    assert time.monotonic() - begun < HOLD_SECONDS * 3
