"""Cron's fields as systemd's times. Whether systemd takes them is judged by systemd, where it is there."""

import shutil
import subprocess

import pytest

from components.plan.cron_schedule import calendar_expression

SCHEDULES = {
    "* * * * *": "*-*-* *:*:00",
    "*/20 * * * *": "*-*-* *:00,20,40:00",
    "5/20 * * * *": "*-*-* *:05,25,45:00",
    "10-30/10 8-9 * * *": "*-*-* 08,09:10,20,30:00",
    "0 3 * * 1-3": "Mon,Tue,Wed *-*-* 03:00:00",
    "0 0 * * sun,7,sat": "Sun,Sat *-*-* 00:00:00",
    "0 0 1,15 jan,JUL *": "*-01,07-01,15 00:00:00",
    "@daily": "*-*-* 00:00:00",
    "@weekly": "Sun *-*-* 00:00:00",
}


@pytest.mark.parametrize(("schedule", "expression"), SCHEDULES.items())
def test_schedules(schedule: str, expression: str) -> None:
    assert calendar_expression(schedule) == expression


@pytest.mark.parametrize("expression", SCHEDULES.values())
def test_systemd_takes_them(expression: str) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze on this box")
    said = subprocess.run(
        ["systemd-analyze", "calendar", expression], capture_output=True, text=True, check=True
    ).stdout
    assert "Next elapse:" in said


@pytest.mark.parametrize(
    ("schedule", "why"),
    [
        ("", "must have five fields"),
        ("* * * *", "must have five fields"),
        ("@reboot", "must have five fields"),
        ("60 * * * *", "'60' in the schedule '60 * * * *' is no minute from 0 to 59"),
        ("* 24 * * *", "no hour from 0 to 23"),
        ("* * 0 * *", "no day of month from 1 to 31"),
        ("* * * 13 *", "no month from 1 to 12"),
        ("* * * * 8", "no day of week from 0 to 7"),
        ("*/0 * * * *", "no minute"),
        ("*-5 * * * *", "no minute"),
        ("5-1 * * * *", "no minute"),
        ("1,,2 * * * *", "no minute"),
        ("-5 * * * *", "no minute"),
        ("² * * * *", "no minute"),
        ("0 0 13 * fri", "make two entries"),
    ],
)
def test_what_is_no_schedule(schedule: str, why: str) -> None:
    with pytest.raises(ValueError) as caught:
        calendar_expression(schedule)
    assert why in str(caught.value)
