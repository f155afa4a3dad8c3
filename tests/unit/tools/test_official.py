"""What the comparison of plugins rests on: that it sees every difference, and none that any two runs have."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.official import known, records, report
from tests.official.differences import ABSENT, Difference, differences
from tests.official.known import Known
from tests.official.normal import Normal, passwords
from tests.plugins.engine import SECRET_MARK, UNKNOWN, Message, Run

SIGNATURE = next(iter(SECRET_MARK))


def secret(content: object) -> dict[str, Any]:
    return {SIGNATURE: SECRET_MARK[SIGNATURE], "plaintext": json.dumps(content)}


def test_differences_are_found_where_they_are() -> None:
    official = {"same": [1, {"a": None}], "text": "one", "more": [1], "gone": False, "deep": [{"a": 1}, {"a": 2}]}
    standin = {"same": [1, {"a": None}], "text": "two", "more": [1, 2], "new": 0, "deep": [{"a": 1}, {"a": 3}]}
    assert list(differences(official, standin, "top")) == [
        Difference("top > deep > 2 > a", 2, 3),
        Difference("top > gone", False, ABSENT),
        Difference("top > more", [1], [1, 2]),
        Difference("top > new", ABSENT, 0),
        Difference("top > text", "one", "two"),
    ]


@pytest.mark.parametrize(("one", "other"), [(1, "1"), ({}, []), (None, False), ("", None), ([], {})])
def test_another_kind_of_value_is_a_difference(one: object, other: object) -> None:
    assert list(differences(one, other)) == [Difference("", one, other)]


def test_of_long_texts_only_what_differs_is_shown() -> None:
    shown = Difference("where", "first\nsecond\nthird", "first\n2nd\nthird").shown()
    assert "second" in shown and "2nd" in shown and "first" not in shown and "third" not in shown
    assert Difference("where", True, ABSENT).shown().split() == ["-", "true", "+", ABSENT]


def test_what_differs_from_run_to_run_is_taken_out() -> None:
    def one(identity: str, password: str, port: int, day: int) -> object:
        private = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{password * 4}\n-----END OPENSSH PRIVATE KEY-----\n"
        state = {
            "key": {"type": "random:index:RandomPassword", "outputs": {"result": secret(password)}},
            "php1-php": {"type": "command:remote:Command", "outputs": {}},
        }
        return Normal(state, passwords(state)).value(
            {
                "id": f"php1-php{identity}",
                "triggers": [f"php1-php{identity}"],
                "created": f"2031-02-0{day}T10:00:00.123456Z",
                "connection": secret({"port": port, "host": "127.0.0.1", "privateKey": private}),
                "stdin": f"PASSWORD={password}\nSERVER=127.0.0.1:{port}\n",
                "result": password,
                "text": json.dumps({"privateKey": private}),
            }
        )

    first, second = one("0123abcd", "AbCdEfGh", 40123, 1), one("deadbeef", "hGfEdCbA", 50999, 9)
    assert first == second
    assert first == {
        "id": "php1-php<id>",
        "triggers": ["php1-php<id>"],
        "created": "<time>",
        "connection": {"<secret>": {"port": "<port>", "host": "127.0.0.1", "privateKey": "<private key>\n"}},
        "stdin": "PASSWORD=<password key>\nSERVER=127.0.0.1:<port>\n",
        "result": "<result of 8 characters>",
        "text": json.dumps({"privateKey": "<private key>\n"}),
    }


def test_what_must_be_the_same_stays() -> None:
    normal = Normal(["php1-php"], {})
    kept = {"port": 22, "stdout": "php1-php: done in 3 s", "id": "php1-php0123", "hash": "0123abcd", "on": True}
    assert normal.value(kept) == kept
    assert normal.value(UNKNOWN) == UNKNOWN and normal.value("80208fba-05b7-49f7-9ec9-2848e12aa144") == "<uuid>"
    # A secret that is none with the other plugins is a difference, as is another length of a password.
    assert normal.value(secret("x")) != normal.value("x")
    assert normal.value({"result": "abc"}) != normal.value({"result": "abcd"})
    assert normal.lines("b (3s)\na 1m20s\nb (14s)") == ["a <duration>", "b (<duration>)", "b (<duration>)"]


def test_messages_are_told_by_resource_with_their_kind() -> None:
    run = Run()
    run.messages = [
        Message("b", "info", "second", True),
        Message("b", "info", "first", True),
        Message("", "warning", "general", False),
    ]
    assert records.of_run(run, Normal([], {}))["messages"] == {
        "b": ["info, passing: first", "info, passing: second"],
        "(no resource)": ["warning: general"],
    }


def test_only_answers_of_plugins_count(tmp_path: Path) -> None:
    urn = "urn:pulumi:s::p::php-cluster:index:PhpCluster$command:remote:Command::lb1-install"
    log = tmp_path / "log"
    entries: list[dict[str, Any]] = [
        {"method": "/pulumirpc.ResourceProvider/Diff", "request": {"urn": urn}, "response": {"changes": "DIFF_NONE"}},
        {"method": "/pulumirpc.ResourceMonitor/RegisterResource", "request": {"urn": urn}, "response": {"urn": urn}},
        {"method": "/pulumirpc.ResourceProvider/Check", "request": {"urn": urn}, "errors": ["refused"]},
        {"method": "/pulumirpc.ResourceProvider/Configure", "request": {}, "metadata": {"name": "random"}},
        {"method": "/pulumirpc.ResourceProvider/Configure", "response": {"a": 1}, "metadata": {"name": "random"}},
    ]
    log.write_text("\n".join(map(json.dumps, entries)))
    assert records.of_exchanges(log, Normal([], {})) == {
        "Diff command:remote:Command lb1-install": [{"response": {"changes": "DIFF_NONE"}}],
        "Check command:remote:Command lb1-install": [{"errors": ["refused"]}],
        "Configure random": [{"response": {"a": 1}}],
    }


def test_the_report_has_everything_and_the_news_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "KNOWN", (Known("wording", '"please" -> "now"', "It is kinder."),))
    found = [
        Difference("a > wording", "please", "now"),
        Difference("b > wording", "please", "now"),
        Difference("a > wording", "please", "later"),
        Difference("a > other", "please", "now"),
    ]
    assert report.unexplained(found) == found[2:]
    text = report.text(found, ["created: exit status 1\nit broke"])
    assert "4 differences, 2 of them not explained; 1 commands" in text and "it broke" in text
    places = [
        text.index(part) for part in ("It is kinder.", "a > wording\nb > wording", "it broke", "later", "a > other")
    ]
    assert places == sorted(places)
