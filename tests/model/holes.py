"""The holes of the session log that a rule closes: what to leave out, how far to look, and what must come of it.

The letters and numbers of holes are those of docs/decisions/16-session-log-model.md, which has this table too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.model.explorer import Exploration, explore
from tests.model.session_log.model import Model
from tests.model.session_log.state import ALL, DENIED, FAULTS, LOST, STALE, TWICE, TWO_TURNS, UNREADABLE, Bounds, State


@dataclass(frozen=True)
class Hole:
    """A hole, the rules that it needs to be without, and what is found then."""

    name: str
    without: tuple[str, ...]
    bounds: Bounds
    violation: str
    shows: tuple[str, ...] = ()
    """Steps, or parts of them, that a schedule of this hole has in this order."""
    given: tuple[str, ...] = ()
    """The first steps; the exploration finds the others."""
    enough: tuple[str, ...] = ()
    """Rules of which each closes it alone."""

    def explored(self, rules: frozenset[str] | None = None) -> Exploration:
        """What is found without the rules, or with those given."""
        bounds = replace(self.bounds, rules=ALL - set(self.without) if rules is None else rules)
        return explored(bounds, self.given)

    def row(self, found: Exploration) -> str:
        """Its row in the table of the decision."""
        assert found.found
        faults, steps = self.bounds.faults + self._faults_given(), found.depth + len(self.given)
        return f"| {' and '.join(self.without)} | {self.name} | {faults} | {steps} | {self.violation} |"

    def _faults_given(self) -> int:
        return sum(
            "restarted" in step
            or "graph changes" in step
            or "dies" in step
            or "loses" in step
            or "fails on both" in step
            for step in self.given
        )


def begun(model: Model, given: tuple[str, ...]) -> State:
    """The state after some first steps, for which there are faults of any kind.

    Raises `LookupError` if the rules do not let one of them happen."""
    state = model.start()
    model = Model(replace(model.bounds, kinds=frozenset(FAULTS)))
    for wanted in given:
        more = state._replace(faults=state.faults + 1)
        after = next((after for name, after, _ in model.steps(more) if name == wanted), None)
        if after is None:
            raise LookupError(wanted)
        state = after._replace(faults=state.faults)
    return state


def explored(bounds: Bounds, given: tuple[str, ...] = (), *, limit: int = 50_000_000) -> Exploration:
    """Explores the model within bounds."""
    model = Model(bounds)
    return explore(begun(model, given), model.steps, model.canonical, limit=limit)


def _kinds(*names: str) -> frozenset[str]:
    return frozenset(names)


EXCLUSIVE = "1 exclusive name"
RESTARTED = ("lb1's brick is restarted", "A is connected to lb1 again")
GRAPH = "A's graph changes, and its file is opened on all bricks"
P_HAS_ITS_TURN = (
    "A writes nothing, for P's turn to segment 1",
    "A looks for segment 2: not there",
    "A's fdatasync returns; A gives P its turn",
)
TORN = "A writes P's update to segment 1, which reaches lb1; its node dies"
FAILED_SYNC = "A's fdatasync fails on both bricks"

HOLES = (
    Hole(
        "1a: a brick restarts, and the new segment's lock excludes nobody",
        (EXCLUSIVE,),
        Bounds(requests=1, faults=1, kinds=_kinds("restart")),
        LOST,
        ("restarted", "A creates segment", "A acknowledges", "B gets the lock on segment 1"),
    ),
    Hole(
        "1b: {A, lb1} and {B, lb2, arbiter}, A at rest",
        (EXCLUSIVE, "6 events end"),
        Bounds(requests=1, segments=2, faults=1, kinds=_kinds("cut"), cuts=(frozenset({"s0", "b0"}),), moves=False),
        LOST,
        ("A, lb1 | B, lb2, arbiter", "B gets the lock on segment 1, on lb2", "A acknowledges"),
        enough=(EXCLUSIVE,),
    ),
    Hole(
        "1c: {A, lb2, arbiter} and {B, lb1}",
        (EXCLUSIVE, "6 events end"),
        Bounds(
            requests=1, segments=2, faults=1, kinds=_kinds("cut"), cuts=(frozenset({"s0", "b1", "ta"}),), moves=False
        ),
        LOST,
        ("A, lb2, arbiter | B, lb1", "B gets the lock on segment 1, on lb1", "A acknowledges"),
    ),
    Hole(
        "1: the end of a segment is read before it is one",
        ("1 read after creation",),
        Bounds(requests=1, faults=0),
        LOST,
        ("B reads the log", "A writes P's update", "B creates segment 2"),
    ),
    Hole(
        "1: a writer does not look whether he still is one",
        ("1 look-up before answer",),
        Bounds(requests=1, faults=0),
        LOST,
        ("B creates segment 2", "B reads the log", "A acknowledges P's update"),
    ),
    Hole(
        "2: B appends behind what one brick alone has",
        ("2 own segment",),
        Bounds(faults=0),
        LOST,
        (
            TORN,
            "reads the log from lb1",
            "writes Q's update to segment 1",
            "acknowledges Q's",
            "reads the log from lb2",
        ),
        given=(*P_HAS_ITS_TURN, TORN),
    ),
    Hole(
        "2: B's header rests on what one brick alone has",
        ("2 rewritten tail",),
        Bounds(requests=1, faults=0),
        UNREADABLE,
        (TORN, "reads the log from lb1", "writes its header", "reads the log"),
        given=(*P_HAS_ITS_TURN, TORN),
    ),
    Hole(
        "3: a readable set of before",
        ("3 new look-up",),
        Bounds(requests=1, faults=1, kinds=_kinds("flap")),
        LOST,
        ("loses its link", "acknowledges P's update", "reads the log"),
    ),
    Hole(
        "3: the page cache",
        ("3 past the page cache",),
        Bounds(requests=1, faults=0),
        LOST,
        ("A acknowledges", "B reads the log from the page cache"),
    ),
    Hole(
        "4: the deposed writer answers reads",
        ("4 proof before reads",),
        Bounds(faults=0),
        STALE,
        ("B is the writer", "B acknowledges P's update", "A gives Q its turn"),
    ),
    Hole(
        "5: a new graph gives a half-fenced writer his second brick",
        (EXCLUSIVE, "6 events end"),
        Bounds(requests=1, faults=0, moves=False),
        LOST,
        (GRAPH, "B loses its link to lb2", "B gets the lock on segment 1, on lb1", "A acknowledges"),
        given=(*RESTARTED, GRAPH, "B loses its link to lb2"),
        enough=(EXCLUSIVE,),
    ),
    Hole(
        "6: an old turn stores over a newer one",
        ("5 conditional store", "5 turn of a term"),
        Bounds(faults=0),
        TWO_TURNS,
        ("A gives P its turn", "B is the writer", "B gives Q its turn"),
        enough=("5 conditional store", "5 turn of a term"),
    ),
    Hole(
        "6: a repeat is stored again",
        ("5 conditional store", "5 turn of a term", "5 request ids"),
        Bounds(requests=1, faults=0, repeats=1),
        TWICE,
        ("A acknowledges P's update", "A writes P's update"),
    ),
    Hole(
        "6: a repeat of what is stored is refused",
        ("5 request ids",),
        Bounds(requests=1, faults=0, repeats=1),
        DENIED,
        ("P's update", "B is the writer", "B refuses P's update"),
    ),
    Hole(
        "7: a writer goes on behind a write that failed",
        ("6 failure ends",),
        Bounds(faults=1, kinds=_kinds("failed write")),
        LOST,
        ("P's update to segment 1, which reaches no brick and fails", "A acknowledges Q's update", "B reads the log"),
    ),
    Hole(
        "7: a page that counts as clean after a failed fdatasync",
        ("6 failure ends",),
        Bounds(faults=1, kinds=_kinds("all power cut")),
        LOST,
        (FAILED_SYNC, "A acknowledges Q's update", "the power of both bricks is cut"),
        given=(
            *P_HAS_ITS_TURN,
            "A writes P's update to segment 1",
            "A looks for segment 2: not there",
            FAILED_SYNC,
            *(step.replace("P", "Q") for step in P_HAS_ITS_TURN),
            "A writes Q's update to segment 1",
            "A looks for segment 2: not there",
            "A's fdatasync returns; A acknowledges Q's update",
        ),
    ),
    Hole(
        "14: a connection is lost while a commit is under way",
        ("6 events end",),
        Bounds(requests=1, faults=1, kinds=_kinds("power cut"), appended=True),
        LOST,
        ("A writes P's update", "A looks for segment 2: not there", "lb1's power is cut", "A acknowledges P's update"),
    ),
    Hole(
        "15: the look-up is answered by one brick alone",
        ("6 events end",),
        Bounds(requests=1, faults=1, kinds=_kinds("flap")),
        LOST,
        (
            "B loses its link to lb1",
            "B creates segment 2",
            "A writes P's update",
            "A loses its link to lb2",
            "A looks for segment 2: not there",
        ),
        given=("B loses its link to lb1",),
    ),
)
