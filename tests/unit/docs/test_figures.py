"""Figures that stand on several pages, or in code too, are the same everywhere."""

import re
from typing import NamedTuple

import pytest

from tests.commands import PROJECT
from tests.faults import report
from tests.faults.faults import FAULTS
from tests.unit.docs.pages import page, table

README, FAULTS_PAGE, SESSIONS = page("README.md"), page("docs/faults.md"), page("docs/sessions.md")


class Losses(NamedTuple):
    """Of acknowledged updates."""

    lost: int
    acknowledged: int

    def __str__(self) -> str:
        return f"{self.lost:,} of {self.acknowledged:,}"


def losses(cell: str) -> Losses | None:
    found = re.match(r"(\d+) of (\d+)", cell)
    return Losses(int(found[1]), int(found[2])) if found else None


def of_profile(column: int) -> dict[str, Losses]:
    rows = table(FAULTS_PAGE.section("## Results"), "fault")
    return {row[0].strip("`"): lost for row in rows if (lost := losses(row[column]))}


def total(column: int) -> str:
    trials = of_profile(column).values()
    return str(Losses(sum(trial.lost for trial in trials), sum(trial.acknowledged for trial in trials)))


SAFE, ARTICLE = 1, 6


def one_line(text: str) -> str:
    return " ".join(text.split())


def test_the_table_names_faults_that_there_are() -> None:
    assert of_profile(SAFE).keys() <= {fault.name for fault in FAULTS}


def test_sums_are_those_of_the_table() -> None:
    text = one_line(FAULTS_PAGE.text)
    assert f"`safe` lost {total(SAFE)} acknowledged updates in {len(of_profile(SAFE))} trials" in text
    assert f"It lost {total(ARTICLE)} in the {len(of_profile(ARTICLE))} trials of the table" in text


def test_readme_promises_what_was_measured() -> None:
    text = one_line(README.text)
    assert f"{len(of_profile(SAFE))} faults under load lost {total(SAFE)} updates" in text
    assert f"injects {len(of_profile(SAFE))} faults" in text
    rows = table(FAULTS_PAGE.section("## Results"), "fault")
    served = [row for row in rows if float(row[2].removesuffix(" s")) <= report.SERVED_FROM]
    share = f"In {len(served)} of the {len(rows)} faults"
    assert f"{share} every request that began {report.SERVED_FROM:g} s after the fault or later was served" in text
    late = {fault.name for fault in FAULTS if fault.hits_clients or fault.stops_service}
    late &= {row[0].strip("`") for row in rows}
    assert {row[0].strip("`") for row in rows if row not in served} == late


def test_alerts_are_those_that_faults_must_raise() -> None:
    section = FAULTS_PAGE.section("## Alerts")
    rows = table(section, "fault")
    expected = {fault.name: fault.alert for fault in FAULTS}
    for row in rows:
        alert = expected[row[0].strip("`")]
        assert row[4].startswith(f"`{alert}` " if alert else "none"), row
    told = [each for row in rows if (each := losses(row[1]))]
    lost = Losses(sum(each.lost for each in told), sum(each.acknowledged for each in told))
    assert f"`safe` lost {lost} acknowledged updates in {len(rows)} trials" in one_line(section)


def test_what_was_lost_beside_redis_is_the_sum_of_its_table() -> None:
    section = FAULTS_PAGE.section("## Beside Redis with a replica and Sentinel")
    for profile, words in (("redis", "acknowledged updates "), ("redis-strict", ""), ("safe", "")):
        printed = re.findall(rf"^\S+ +{profile} +(\d+) +(\d+) ", section, re.MULTILINE)
        lost = Losses(sum(int(lost) for _, lost in printed), sum(int(acknowledged) for acknowledged, _ in printed))
        assert f"{lost} {words}in {len(printed)}" in one_line(section), profile


def test_sessions_quote_the_table() -> None:
    fault = "change-options"
    quoted = f"`article` lost {of_profile(ARTICLE)[fault]} acknowledged updates, and `safe` {of_profile(SAFE)[fault]}"
    assert quoted in one_line(SESSIONS.text)


def test_the_picture_shows_what_the_page_says() -> None:
    shown = (PROJECT / "docs" / "power-off-active.svg").read_text()
    found = {
        profile: (Losses(int(lost), int(acknowledged)), served)
        for profile, lost, acknowledged, served in re.findall(
            r">(\w+): (\d+) of (\d+) acknowledged updates lost, served again from ([\d.]+) s", shown
        )
    }
    (article, _), (safe, safe_served) = found["article"], found["safe"]
    text = one_line(FAULTS_PAGE.text)
    assert f"`article` lost {article} acknowledged updates, and `safe` {safe}" in text
    assert f"`safe` served every request that began {safe_served} s after the fault or later" in text


def test_readme_compares_as_measured() -> None:
    measured = {row[0].lower(): row for row in table(SESSIONS.section("### Beside Redis and local disk"), "store")}
    names = {
        "local disk": "local disk, as with sticky sessions",
        "redis, nothing forced to disk": "Redis, one server, nothing forced to disk",
        "`article`": "`article`, the plain GlusterFS recipe",
        "`safe`": "`safe`, the default",
    }
    said = {row[0]: row for row in table(README.text, "16 connections, read-write")}
    assert said.keys() == set(names.values())
    for store, name in names.items():
        assert said[name][1] == measured[store][1].split(" (")[0]
        assert said[name][2] == measured[store][3].split(" (")[0]


def test_readme_names_the_packages_that_are_installed() -> None:
    set_up = (PROJECT / "scripts" / "toolchain" / "setup").read_text()
    packages = re.search(r"^PACKAGES=\((.*)\)$", set_up, re.MULTILINE)
    assert packages is not None
    [row] = [row for row in table(README.text, "`make up` changes on the box") if row[0].startswith("Debian packages")]
    assert re.findall(r"`([^`]+)`", row[0]) == packages[1].split()


@pytest.mark.parametrize(
    ("package", "version"),
    [
        (package, version)
        for package, version in re.findall(
            r"^(pulumi(?:-aws|-command|-random)?)==(.*)$", (PROJECT / "requirements.txt").read_text(), re.MULTILINE
        )
    ],
)
def test_supported_versions_are_those_that_are_pinned(package: str, version: str) -> None:
    rows = table(page("docs/support.md").text, "software")
    name = "Pulumi engine, Python SDK" if package == "pulumi" else package
    assert [row for row in rows if name in row[0] and version in row[1].split(", ")]
