"""The session log of issue 20 as a model: three services on one volume, requests of one session, and what may fail.

Each rule of the design is a switch (`RULES`). With all of them nothing acknowledged may be lost, whatever happens
within the bounds; with one of them taken out the exploration finds the schedule that it is there for
(`tests/model/test_session_log.py` has the table).

How the log is told:

- There is one session. Its value is the set of updates that it rests on, so that a value tells what it lacks. An
  update is a request: it takes a turn, reads, and stores what it read and itself. Requests 0, 1 and 2 are P, Q and R.
- A segment is a file. Its first record is a header: which parts of older segments count, and the tail that its owner
  took over. The header and that tail are one checksummed unit. The others are updates, each with the number of
  records before it that were confirmed.
- A commit is a write, a look-up of the next segment's name and an `fdatasync`, each a step. An empty one writes
  nothing.
- A service that does nothing for a while is a stopped one; a message that is late is a request that is served late. No
  clock is needed for either, since any step may come at any time.
- A request may be sent to any service that takes itself for the writer.
- A lease has no clock either. It ends when a successor has waited for it; how long that is, nobody knows.
- Snapshots, expiry, extensions and followers' memory are not in the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from tests.model.volume import Copy, File, Handle, Record, Volume

RULES = {
    "1 exclusive name": "who writes after segment n has created n+1, under that one name, exclusively",
    "1 read after creation": "he reads the end of n only after it",
    "1 look-up before answer": "who answers has looked for n+1 after his write to n returned, and not found it",
    "2 own segment": "nobody writes to a segment of another",
    "2 rewritten tail": "what is not told as confirmed is written anew in the successor's segment",
    "3 new look-up": "what decides is read after a new look-up by name",
    "3 past the page cache": "and past the kernel's page cache",
    "4 proof before reads": "a turn is given after a commit that began after the request came",
    "5 conditional store": "a store is conditional on the version that came with the turn",
    "5 turn of a term": "a turn ends with its term",
    "5 request ids": "a request that is repeated is known by its id",
    "6 failure ends": "after a failed commit the segment is over for its writer",
    "6 events end": "a lost connection, a restarted brick or a changed graph ends the segment",
}
ALL = frozenset(RULES)

LOST = "an acknowledged update is not in the log"
STALE = "a read is answered with an older value than one acknowledged before it"
OVERWRITTEN = "an older value is stored over a newer one"
TWO_TURNS = "two turns at once, and the stores of both acknowledged"
TWICE = "one request is stored twice"
DENIED = "a request that is in the log is told that it is not"
UNREADABLE = "a record before a declared end is bad"

SERVICES = "ABC"
REQUESTS = "PQRS"


FAULTS = {
    "crash": "a service dies",
    "torn write": "a node dies while its write is under way, which reaches some bricks, or one of them later",
    "failed write": "a write is refused, and has reached some bricks",
    "failed sync": "an fdatasync fails, and its pages count as clean",
    "restart": "a brick is restarted",
    "power cut": "a brick loses what is not on its disk",
    "all power cut": "both bricks lose it at once",
    "flap": "a client loses its link to one brick",
    "cut": "the network is cut in two",
    "graph": "a client's graph changes",
}


@dataclass(frozen=True)
class Bounds:
    """How far the exploration goes."""

    services: int = 2
    requests: int = 2
    segments: int = 3
    faults: int = 1
    kinds: frozenset[str] = frozenset(FAULTS)
    repeats: int = 0
    """How often a request may be sent again."""
    appended: bool = False
    """Segments grow by their records, so that copies may differ in length. Otherwise they are allocated at full
    length."""
    fence: bool = False
    """A commit ends with one fdatasync more, that begins when look-up and fdatasync have returned."""
    turns_look: bool = False
    """A turn is given after a look-up alone, where the writer's segment is good on both bricks before and after it."""
    leases: bool = False
    """A turn is given without a proof after one that began a short while ago."""
    waits: bool = True
    """Who takes over answers when the leases are over that began before its segment was created."""
    cuts: tuple[frozenset[str], ...] | None = None
    """The cuts of the network that are tried; None for all that part the bricks."""
    moves: bool = True
    """Where locks decide, a writer whose segment is not whole begins another one by itself."""
    rules: frozenset[str] = ALL


HEADER = 0
IDLE, FOUND, CREATED, OLD, READ, SERVING = range(6)


class Cycle(NamedTuple):
    """A commit under way."""

    kind: str
    """`header`, `turn` or `store`."""
    request: int
    began: int
    """What was acknowledged when it began."""
    looked: bool = False
    synced: bool = False
    fenced: bool = False
    created: int = 0
    """The newest segment that somebody had created when it began."""


class Service(NamedTuple):
    """A session service. Present, value and version are its memory of the session."""

    phase: int = IDLE
    term: int = 0
    """The segment that it has found as the newest or owns, counted from 0."""
    handle: Handle | None = None
    present: int = 0
    """Which updates the log has, as a set of bits."""
    value: int = 0
    """Which updates the session's value rests on."""
    version: tuple[int, int, int] = (0, 0, 0)
    """Segment, place, and place within a header's tail."""
    manifest: tuple[tuple[int, int], ...] = ()
    """Which parts (segment, number of records) of older segments count."""
    tail: tuple[tuple[int, int], ...] = ()
    """Updates (number, value) that were read and not told as confirmed."""
    end: int = 0
    confirmed: int = 0
    turn: int = -1
    """The request that has the session's turn."""
    cycle: Cycle | None = None
    undisturbed: bool = True
    """Whether the mount has seen no event since it looked the log up."""
    lease: int = -1
    """The newest segment that somebody had created when its last proof began; -1: it has none that counts."""


# What becomes of a request, in order.
NEW, TRYING, TURN, STORING, UNANSWERED, STORED, REFUSED = range(7)


class Request(NamedTuple):
    """A request of the session's visitor, and what its connection was given with its turn."""

    stage: int = NEW
    value: int = 0
    version: tuple[int, int, int] = (0, 0, 0)
    term: int = 0
    began: int = 0
    asked: bool = False


class State(NamedTuple):
    """Everything."""

    volume: Volume
    services: tuple[Service, ...]
    requests: tuple[Request, ...]
    faults: int
    repeats: int
    acknowledged: int = 0
    head: int = 0
    """The newest segment whose header was committed."""


Step = tuple[str, State, str]


def start(bounds: Bounds) -> State:
    """A healthy cluster: A writes segment 1, nobody has asked for anything."""
    header: Record = (HEADER, (), ())
    copy = Copy(1, (header,), 1)
    files = (File((copy, copy)), *(File() for _ in range(bounds.segments - 1)))
    volume = Volume(files, ((True, True),) * bounds.services)
    locked = (False, False) if "1 exclusive name" in bounds.rules else (True, True)
    writer = Service(SERVING, handle=Handle(0, 1, (True, True), (True, True), locked), end=1, confirmed=1)
    services = (writer, *(Service() for _ in range(bounds.services - 1)))
    return State(volume, services, (Request(),) * bounds.requests, bounds.faults, bounds.repeats)


def with_service(state: State, number: int, service: Service) -> State:
    services = state.services
    return state._replace(services=(*services[:number], service, *services[number + 1 :]))


def with_request(state: State, number: int, request: Request) -> State:
    requests = state.requests
    return state._replace(requests=(*requests[:number], request, *requests[number + 1 :]))


def given_up(state: State, number: int) -> State:
    """A service forgets its memory, its turns and its segment; what waited for it has no answer."""
    service = state.services[number]
    if service.cycle and service.cycle.kind != "header":
        request = state.requests[service.cycle.request]
        if service.cycle.kind == "turn":
            state = with_request(state, service.cycle.request, request._replace(stage=NEW))
        elif request.stage == STORING:
            state = with_request(state, service.cycle.request, request._replace(stage=UNANSWERED))
    return with_service(state, number, Service(undisturbed=service.undisturbed))
