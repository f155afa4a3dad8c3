"""Where results lie: a folder for each seed, with a file for each trial, and the report and pictures made from them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from tests.commands import PROJECT
from tests.faults import picture, report
from tests.faults.report import Row
from tests.faults.trial import Trial

RESULTS = PROJECT / ".cluster" / "faults"


def folder_of(seed: str) -> Path:
    """The folder of one seed; it is there afterwards."""
    folder = RESULTS / seed
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def store(folder: Path, trial: Trial) -> None:
    """Keeps a trial with every request in it, so that it can be judged again."""
    with gzip.open(folder / f"{trial.profile}-{trial.fault}-{trial.seed}.json.gz", "wt") as file:
        json.dump(trial.to_json(), file)


def stored(folder: Path) -> list[Row]:
    """All trials of a folder, judged."""
    rows = []
    for path in folder.glob("*.json.gz"):
        with gzip.open(path, "rt") as file:
            rows.append(report.row(Trial.from_json(json.load(file))))
    return report.ordered(rows)


def write_report(folder: Path) -> str:
    """Makes report.txt, report.json and a picture for each fault; returns the text."""
    rows = stored(folder)
    (folder / "report.json").write_text(json.dumps([row.to_json() for row in rows], indent=2) + "\n")
    text = f"{report.table(rows)}\n\n{report.LEGEND}\n\n{report.summary(rows)}\n"
    (folder / "report.txt").write_text(text)
    for name in {row.trial.fault for row in rows}:
        (folder / f"{name}.svg").write_text(picture.timeline([row for row in rows if row.trial.fault == name]))
    return f"{text}\nReport and pictures: {folder}"
