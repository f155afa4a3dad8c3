"""One session on a cluster of two nodes that changes its store, as docs/decisions/23-changing-store.md has it.

Requests store and destroy it, workers are killed at any point, updates are interrupted and turned back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.model.explorer import Exploration, Step, explore

UPDATES, TURNS = 2, 2
"""So many in one exploration."""

FILES, TO_FILES, TO_LOG, LOG = range(4)
"""Kinds of nodes, in their order on the way to the log."""
NAMES = ("files", "both, to files", "both, to the log", "log")

RULES = {
    "known first": "no session is brought to the new store before all nodes know both",
    "moved first": "no node knows the new store alone before all sessions are there",
    "drained": "a node is of a new kind when its requests of before have ended",
    "copied first": "a session is in its new place before it leaves the old one",
    "copies end": "a copy in the log ends before the file of its session is changed",
    "file locked": "whoever knows both has the lock of the file, too",
}
ALL = frozenset(RULES)

IDLE, BEGUN, LOCKED, MOVING, THERE, READ = range(6)
"""Stages of a request: none; without a turn; with it; it brings the session; has brought it; has read it."""


class Node(NamedTuple):
    """A node and its one worker.

    Attributes:
        kind: What PHP is started as.
        stage: Where the worker's request is.
        begun: The kind that the request was begun with.
        carried: What it has read: in the old place, while the session moves; what the page has, in the end.
    """

    kind: int
    stage: int = IDLE
    begun: int = FILES
    carried: int = 0


class State(NamedTuple):
    """All that there is.

    Attributes:
        file, log: What they hold of the session: the number of an update, 0 for nothing.
        last: What was stored last, 0 after its end: what the next request has to find.
        nodes: The nodes.
        to_log: Where the update under way leads.
        moved: Whether its step that moves all sessions is done.
        updates, turns: How many updates may still be stored, and how often the way may be turned.
    """

    file: int
    log: int
    last: int
    nodes: tuple[Node, ...]
    to_log: bool
    moved: bool
    updates: int
    turns: int


class Change(NamedTuple):
    """The model, with these rules."""

    rules: frozenset[str]

    def steps(self, state: State) -> Iterator[Step[State]]:
        """All that may happen next."""
        yield from self._program(state)
        for place, node in enumerate(state.nodes):
            for name, after, wrong in self._worker(state, node, place):
                yield (
                    f"node {place + 1}, {NAMES[node.begun if node.stage != IDLE else node.kind]}: {name}",
                    after,
                    wrong,
                )

    def _program(self, state: State) -> Iterator[Step[State]]:
        kinds = [node.kind for node in state.nodes]
        if state.turns:
            yield (
                "the update is turned",
                state._replace(to_log=not state.to_log, moved=False, turns=state.turns - 1),
                "",
            )
        ahead = 1 if state.to_log else -1
        for place, node in enumerate(state.nodes):
            kind = node.kind + ahead
            if FILES <= kind <= LOG and self._may_be(state, kind, kinds) and self._is_drained(node):
                yield f"node {place + 1} becomes: {NAMES[kind]}", with_node(state, place, node._replace(kind=kind)), ""
        knows = all(kind >= TO_LOG for kind in kinds) if state.to_log else all(kind <= TO_FILES for kind in kinds)
        if (
            knows
            and not state.moved
            and not any(self._holds(node, what) for node in state.nodes for what in ("file", "log"))
        ):
            found = state.file or state.log
            file, log = (0, found) if state.to_log else (found, 0)
            yield "the session is moved", state._replace(file=file, log=log, moved=True), ""

    def _may_be(self, state: State, kind: int, kinds: list[int]) -> bool:
        if kind == (TO_LOG if state.to_log else TO_FILES):
            alone = FILES if state.to_log else LOG
            return "known first" not in self.rules or alone not in kinds
        if kind == (LOG if state.to_log else FILES):
            return "moved first" not in self.rules or state.moved
        return True

    def _is_drained(self, node: Node) -> bool:
        return node.stage == IDLE or "drained" not in self.rules

    def _holds(self, node: Node, what: str) -> bool:
        if node.stage < LOCKED:
            return False
        if what == "file":
            return node.begun == FILES or (node.begun != LOG and "file locked" in self.rules)
        return node.begun != FILES

    def _worker(self, state: State, node: Node, place: int) -> Iterator[Step[State]]:
        if node.stage == IDLE:
            yield "a request begins", with_node(state, place, node._replace(stage=BEGUN, begun=node.kind)), ""
            return
        yield "it is killed", with_node(state, place, Node(node.kind)), ""
        if node.stage == BEGUN:
            asking = node._replace(stage=LOCKED)
            others = [other for at, other in enumerate(state.nodes) if at != place]
            if not any(
                self._holds(asking, it) and self._holds(other, it) for other in others for it in ("file", "log")
            ):
                yield "it has its turn", with_node(state, place, asking), ""
        elif node.stage in (THERE, READ):
            yield from self._request(state, node, place)
        else:
            yield self._settle(state, node, place)

    def _settle(self, state: State, node: Node, place: int) -> Step[State]:
        """Brings the session to the store that is set, one write at a time."""
        there = node._replace(stage=THERE)
        if node.begun in (FILES, LOG):
            return "it need not look", with_node(state, place, there), ""
        to_log, copied_first = node.begun == TO_LOG, "copied first" in self.rules
        if node.stage == MOVING:
            after = _put(state, not to_log, 0) if copied_first else _put(state, to_log, node.carried)
            return "it ends a move", with_node(after, place, there), ""
        if not to_log and state.file:
            after = _put(state, True, 0) if "copies end" in self.rules else state
            return "it ends a copy", with_node(after, place, there), ""
        found = state.file if to_log else state.log
        if not found:
            return "it finds nothing elsewhere", with_node(state, place, there), ""
        after = _put(state, to_log, found) if copied_first else _put(state, not to_log, 0)
        return "it begins a move", with_node(after, place, node._replace(stage=MOVING, carried=found)), ""

    def _request(self, state: State, node: Node, place: int) -> Iterator[Step[State]]:
        in_log = node.begun in (TO_LOG, LOG)
        if node.stage == THERE:
            found = state.log if in_log else state.file
            wrong = "" if found == state.last else f"{found} is found instead of {state.last}"
            yield f"it reads {found}", with_node(state, place, node._replace(stage=READ, carried=found)), wrong
            return
        done = with_node(state, place, Node(node.kind))
        wrong = "" if node.carried == state.last else f"it rests on {node.carried} instead of {state.last}"
        yield "it ends", done, ""
        if state.updates:
            number = UPDATES + 1 - state.updates
            yield (
                f"it stores {number}",
                _put(done._replace(last=number, updates=state.updates - 1), in_log, number),
                wrong,
            )
        if node.carried:
            yield "it destroys the session", _put(done._replace(last=0), in_log, 0), wrong


def _put(state: State, in_log: bool, number: int) -> State:
    return state._replace(log=number) if in_log else state._replace(file=number)


def with_node(state: State, place: int, node: Node) -> State:
    """The same with another node there."""
    return state._replace(nodes=(*state.nodes[:place], node, *state.nodes[place + 1 :]))


def explored(rules: frozenset[str] = ALL, *, begins: int = FILES) -> Exploration:
    """Explores a cluster that has one session and begins to change its store."""
    file, log = (9, 0) if begins == FILES else (0, 9)
    start = State(file, log, 9, (Node(begins), Node(begins)), begins == FILES, False, UPDATES, TURNS)
    # Nodes have no names.
    return explore(start, Change(rules).steps, lambda state: state._replace(nodes=tuple(sorted(state.nodes))))
