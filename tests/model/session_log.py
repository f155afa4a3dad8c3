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
- Snapshots, expiry, extensions and followers' memory are not in the model; nor is a lease (rule 4's other way).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from tests.model import volume as gluster
from tests.model.volume import BRICKS, Copy, File, Handle, LateWrite, Record, Volume

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


def _with_service(state: State, number: int, service: Service) -> State:
    services = state.services
    return state._replace(services=(*services[:number], service, *services[number + 1 :]))


def _with_request(state: State, number: int, request: Request) -> State:
    requests = state.requests
    return state._replace(requests=(*requests[:number], request, *requests[number + 1 :]))


def _given_up(state: State, number: int) -> State:
    """A service forgets its memory, its turns and its segment; what waited for it has no answer."""
    service = state.services[number]
    if service.cycle and service.cycle.kind != "header":
        request = state.requests[service.cycle.request]
        if service.cycle.kind == "turn":
            state = _with_request(state, service.cycle.request, request._replace(stage=NEW))
        elif request.stage == STORING:
            state = _with_request(state, service.cycle.request, request._replace(stage=UNANSWERED))
    return _with_service(state, number, Service(undisturbed=service.undisturbed))


class Model:
    """The steps that the design and the world may take, within bounds."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.rules = bounds.rules
        self.cuts = self._cuts() if bounds.cuts is None else bounds.cuts
        self.by_lock = "1 exclusive name" not in bounds.rules
        self.machines = tuple(gluster.client_machine(client) for client in range(bounds.services))
        self.looks = "3 new look-up" in bounds.rules
        self.must_look = "1 look-up before answer" in bounds.rules and not self.by_lock

    def start(self) -> State:
        """Where it begins."""
        return start(self.bounds)

    def _cuts(self) -> tuple[frozenset[str], ...]:
        """Every cut that parts the bricks, by the side of lb1."""
        others = ["ta", *(gluster.client_machine(client) for client in range(self.bounds.services))]
        chosen = product((False, True), repeat=len(others))
        return tuple(frozenset({"b0", *(name for name, here in zip(others, c, strict=True) if here)}) for c in chosen)

    def steps(self, state: State) -> Iterator[Step]:
        """All that may happen next."""
        for number in range(len(state.services)):
            yield from self._service(state, number)
        if state.faults:
            yield from self._faults(state)
        yield from self._world(state)

    # What a service does.

    def _service(self, state: State, number: int) -> Iterator[Step]:
        service, name = state.services[number], SERVICES[number]
        if service.phase == IDLE:
            yield from self._find(state, number, name)
        elif service.phase == FOUND:
            if self.by_lock or "1 read after creation" not in self.rules:
                yield from self._read(state, number, name)
            else:
                yield from self._create(state, number, name)
        elif service.phase == CREATED:
            yield from self._read(state, number, name)
        elif service.phase == OLD:
            yield from self._create(state, number, name)
        elif service.phase == READ:
            yield from self._begin(state, number, name, "header", -1)
        elif service.cycle:
            yield from self._commit(state, number, name, service.cycle)
        else:
            yield from self._serve(state, number, name)
        if service.phase == SERVING:
            yield from self._move(state, number, name)

    def _move(self, state: State, number: int, name: str) -> Iterator[Step]:
        """A writer that notices an event leaves its segment: to take over like anyone else, or by itself."""
        service = state.services[number]
        assert service.handle
        if service.handle.whole:
            return
        if not self.by_lock:
            yield f"{name} notices that its segment is not whole, and gives it up", _given_up(state, number), ""
        elif self.bounds.moves and service.cycle is None and len(gluster.connected(state.volume, number)) == 2:
            moved = service._replace(phase=OLD, manifest=(*service.manifest, (service.term, service.end)))
            yield f"{name} notices that a brick is back", _with_service(state, number, moved), ""

    def _find(self, state: State, number: int, name: str) -> Iterator[Step]:
        """Finds the newest segment; or, where the lock decides, gets the lock of the one that it has followed."""
        volume = state.volume
        if self.by_lock:
            found = self._locked(state, number, 0)
            if found:
                service = state.services[number]._replace(phase=FOUND, term=0, handle=found)
                where = " and ".join(f"lb{b + 1}" for b in BRICKS if found.locked[b])
                yield f"{name} gets the lock on segment 1, on {where}", _with_service(state, number, service), ""
            return
        newest = -1
        for segment in range(self.bounds.segments):
            volume, answer = gluster.look_up(volume, number, segment)
            if answer == gluster.ERROR:
                return
            if answer == gluster.ABSENT:
                break
            newest = segment
        if newest < 0 or newest + 1 == self.bounds.segments:
            return
        service = state.services[number]._replace(phase=FOUND, term=newest)
        after = _with_service(state._replace(volume=volume), number, service)
        if gluster.names_agree(state.volume) and "1 read after creation" in self.rules:
            # What it has found is so, and if it is not when it creates, that fails.
            yield from self._create(after, number, name)
        else:
            yield f"{name} finds segment {newest + 1} to be the newest", after, ""

    def _locked(self, state: State, number: int, segment: int) -> Handle | None:
        """`flock`: granted by one brick at least and refused by none (`afr_lk_cbk`). Nobody asks the arbiter."""
        copies = state.volume.files[segment].copies
        creator = next((copy.creator for copy in copies if copy), 0)
        handle = gluster.opened(state.volume, number, segment, creator)
        others = [s.handle for s in state.services if s.handle and s.handle.name == segment]
        if not any(handle.good) or any(handle.good[b] and other.locked[b] for other in others for b in BRICKS):
            return None
        return handle._replace(locked=handle.good)

    def _create(self, state: State, number: int, name: str) -> Iterator[Step]:
        """Creates the next segment: the one that follows, exclusively; or one with a name of its own."""
        service = state.services[number]
        if self.by_lock:
            free = [n for n, file in enumerate(state.volume.files) if file == File()]
            if not free:
                return
            segment = free[0]
        else:
            segment = service.term + 1
        volume, creator = gluster.create(state.volume, number, segment)
        after = state._replace(volume=volume)
        if not creator:
            yield f"{name} cannot create segment {segment + 1}", _given_up(after, number), ""
            return
        handle = gluster.opened(volume, number, segment, creator)
        if self.by_lock:
            handle = handle._replace(locked=handle.good)
        phase = READ if service.phase == OLD else CREATED
        service = service._replace(phase=phase, term=segment, handle=handle)
        yield f"{name} creates segment {segment + 1}", _with_service(after, number, service), ""

    # Reading the log.

    def _read(self, state: State, number: int, name: str) -> Iterator[Step]:
        """Reads the log that ends with the segment before its own."""
        service = state.services[number]
        newest = service.term if service.phase == FOUND else service.term - 1
        for volume, memory, how in self._logs(state, number, newest):
            after = state._replace(volume=volume)
            if memory is None:
                if how == UNREADABLE:
                    yield f"{name} reads the log", after, UNREADABLE
                else:
                    yield f"{name} cannot read the log", _given_up(after, number), ""
                continue
            phase = OLD if service.phase == FOUND else READ
            read = memory._replace(
                phase=phase, term=service.term, handle=service.handle, undisturbed=service.undisturbed
            )
            yield f"{name} reads the log{how}", _with_service(after, number, read), ""

    def _logs(self, state: State, number: int, newest: int) -> Iterator[tuple[Volume, Service | None, str]]:
        """What a service may find: the volume, which look-ups may have healed, its memory, or None, and from where."""
        if "2 own segment" not in self.rules:
            newest = 0
        for volume, records, how in self._segments(state.volume, state, number, newest):
            if records is None:
                yield volume, None, ""
            elif not records:
                # Created by one who died before its header was anywhere: the log ends before it.
                if newest:
                    yield from self._logs(state._replace(volume=volume), number, newest - 1)
                else:
                    yield volume, None, ""
            else:
                yield from self._chain(state._replace(volume=volume), number, newest, records, how)

    def _chain(
        self, state: State, number: int, newest: int, records: tuple[Record, ...], how: str
    ) -> Iterator[tuple[Volume, Service | None, str]]:
        """Follows a header to the older segments that it names."""
        manifest = records[0][1]
        ways: list[tuple[Volume, list[tuple[int, tuple[Record, ...]]]]] = [(state.volume, [])]
        for segment, end in manifest:
            longer = []
            for seen, parts in ways:
                for after, found, _ in self._segments(seen, state, number, segment):
                    if found is None:
                        yield after, None, ""
                    elif len(found) < end:
                        yield after, None, UNREADABLE
                    else:
                        longer.append((after, [*parts, (segment, found[:end])]))
            ways = longer
        for seen, parts in ways:
            yield seen, self._replayed(newest, records, parts), how

    def _replayed(
        self, newest: int, records: tuple[Record, ...], parts: list[tuple[int, tuple[Record, ...]]]
    ) -> Service:
        present = value = 0
        version = (0, 0, 0)
        confirmed = 0
        tail: list[tuple[int, int]] = []
        for segment, content in [*parts, (newest, records)]:
            for index, record in enumerate(content):
                updates = record[2] if record[0] == HEADER else ((record[0], record[1]),)
                for place, (update, stored) in enumerate(updates):
                    present |= 1 << (update - 1)
                    value, version = stored, (segment, index, place)
        for record in records:
            if record[0] != HEADER:
                confirmed = max(confirmed, record[2])
        if newest == 0:
            confirmed = max(confirmed, 1)
        for record in records[confirmed:]:
            tail += record[2] if record[0] == HEADER else [(record[0], record[1])]
        manifest = tuple((segment, len(content)) for segment, content in parts)
        if "2 rewritten tail" not in self.rules:
            manifest, tail = (*manifest, (newest, len(records))), []
        elif confirmed:
            manifest = (*manifest, (newest, confirmed))
        return Service(
            present=present, value=value, version=version, manifest=manifest, tail=tuple(tail), end=len(records)
        )

    def _segments(
        self, volume: Volume, state: State, number: int, segment: int
    ) -> Iterator[tuple[Volume, tuple[Record, ...] | None, str]]:
        """What opening and reading one segment may bring: its valid records, or None for an error."""
        file = volume.files[segment]
        if not self.looks and volume.links[number] == (True, True) and state.services[number].undisturbed:
            # The inode's context still says that both copies are good (`afr_read_txn`).
            bricks = [brick for brick in BRICKS if file.copies[brick]]
        else:
            volume, answer = gluster.look_up(volume, number, segment)
            file = volume.files[segment]
            unlocked = not any(s.handle and s.handle.name == segment and any(s.handle.locked) for s in state.services)
            larger = self.bounds.appended and self.by_lock and unlocked
            bricks = [] if answer != gluster.PRESENT else gluster.readable(volume, number, segment, larger=larger)
        if not bricks:
            yield volume, None, ""
            return
        contents: dict[tuple[Record, ...], str] = {}
        for brick in bricks:
            copy = file.copies[brick]
            assert copy
            contents.setdefault(gluster.valid(copy.records), f" from lb{brick + 1}")
        if len(contents) == 1:
            contents = dict.fromkeys(contents, "")
        if "3 past the page cache" not in self.rules:
            # A page that was read when the segment was shorter.
            for content in list(contents):
                for length in range(1, len(content)):
                    contents.setdefault(content[:length], " from the page cache")
        for content, how in contents.items():
            yield volume, content, how

    # Commits.

    def _record(self, service: Service, kind: str, request: int, state: State) -> tuple[int, Record | None]:
        if kind == "header":
            if "2 own segment" not in self.rules:
                return service.end, None
            return 0, (HEADER, service.manifest, service.tail)
        if kind == "turn":
            return service.end, None
        return service.end, (request + 1, state.requests[request].value | 1 << request, service.confirmed)

    def _begin(self, state: State, number: int, name: str, kind: str, request: int) -> Iterator[Step]:
        """Writes what is to be committed: a header, an update, or nothing."""
        service = state.services[number]
        if kind == "header" and "2 own segment" not in self.rules:
            creator = next(copy.creator for copy in state.volume.files[0].copies if copy)
            service = service._replace(handle=gluster.opened(state.volume, number, 0, creator))
        assert service.handle
        index, record = self._record(service, kind, request, state)
        if kind == "header":
            what = "its header" if record else "nothing, to begin"
        else:
            what = f"{REQUESTS[request]}'s update" if record else f"nothing, for {REQUESTS[request]}'s turn"
        where = f" to segment {service.handle.name + 1}"
        begun = _with_service(state, number, service._replace(cycle=Cycle(kind, request, state.acknowledged)))
        if request >= 0:
            stage = TRYING if kind == "turn" else STORING
            asked = begun.requests[request]
            if asked.stage != STORED:
                begun = _with_request(begun, request, asked._replace(stage=stage, asked=True))
        volume, done = gluster.write(state.volume, number, service.handle, index, record)
        begun = begun._replace(volume=volume)
        if not done:
            yield f"{name} cannot write {what}{where}", self._failed(begun, number), ""
            return
        yield f"{name} writes {what}{where}", self._written(begun, number), ""
        if record and state.faults:
            yield from self._torn(state, begun, number, f"{name} writes {what}{where}", (index, record))

    def _written(self, state: State, number: int) -> State:
        service = state.services[number]
        if service.phase != SERVING:
            service = service._replace(phase=SERVING)
        return _with_service(state, number, service)

    def _torn(self, before: State, begun: State, number: int, what: str, put: tuple[int, Record]) -> Iterator[Step]:
        """A write that only some bricks have done when its node dies, or when it is refused."""
        index, record = put
        service = begun.services[number]
        handle = service.handle
        assert handle
        reached = [
            b
            for b in BRICKS
            if handle.good[b] and before.volume.links[number][b] and before.volume.files[handle.name].copies[b]
        ]
        paid = self._settled(begun._replace(volume=before.volume, faults=before.faults - 1))
        before = before._replace(volume=paid.volume)
        for some in ([], *([brick] for brick in reached)):
            if len(some) == len(reached) and some:
                continue
            volume = before.volume
            for brick in some:
                volume = gluster.put(volume, handle.name, brick, index, record)
            where = " and ".join(f"lb{brick + 1}" for brick in some) or "no brick"
            if "torn write" in self.bounds.kinds:
                dead = self._dead(paid._replace(volume=volume), number)
                yield f"{what}, which reaches {where}; its node dies", dead, ""
                for brick in reached:
                    if brick not in some:
                        late = (*volume.late, LateWrite(brick, handle.name, index, record))
                        with_late = dead._replace(volume=dead.volume._replace(late=late))
                        yield (
                            f"{what}, which reaches {where}, and is to reach lb{brick + 1}; its node dies",
                            with_late,
                            "",
                        )
            if "failed write" in self.bounds.kinds:
                failed = self._failed(paid._replace(volume=volume), number, spoilt=True)
                yield f"{what}, which reaches {where} and fails", failed, ""

    def _failed(self, state: State, number: int, *, spoilt: bool = False) -> State:
        """A commit that failed: the segment is over; or its writer tells so and goes on behind what may be there."""
        service = state.services[number]
        if (
            "6 failure ends" in self.rules
            or service.phase != SERVING
            or service.cycle is None
            or service.cycle.kind == "header"
        ):
            return _given_up(state, number)
        end = service.end + (1 if spoilt and service.cycle.kind == "store" else 0)
        kept = service._replace(cycle=None, turn=-1, end=end)
        return _with_service(_given_up(state, number), number, kept)

    def _commit(self, state: State, number: int, name: str, cycle: Cycle) -> Iterator[Step]:
        """The steps of a commit after its write."""
        service = state.services[number]
        assert service.handle
        if self.must_look and not cycle.looked:
            yield from self._look(state, number, name, cycle)
        if not cycle.synced or (self._done(cycle) and self.bounds.fence):
            yield from self._sync(state, number, name, cycle)

    def _done(self, cycle: Cycle) -> bool:
        return cycle.synced and (cycle.looked or not self.must_look)

    def _committed(self, state: State, number: int, name: str, cycle: Cycle, what: str) -> Iterator[Step]:
        """A commit that is one step further. After the last one it is answered at once: an answer that comes later is
        one of which less is expected. Or its service dies before it answers."""
        service = state.services[number]
        assert service.handle
        if not self._done(cycle) or cycle.fenced != self.bounds.fence:
            yield what, _with_service(state, number, service._replace(cycle=cycle)), ""
        elif not service.handle.whole and "6 events end" in self.rules:
            yield f"{what}; it notices that its segment is not whole, and gives it up", _given_up(state, number), ""
        else:
            for answer, after, violation in self._answer(state, number, name, cycle):
                yield f"{what}; {answer}", after, violation
            if state.faults and "crash" in self.bounds.kinds:
                yield f"{what}; it dies", self._settled(self._dead(state._replace(faults=state.faults - 1), number)), ""

    def _look(self, state: State, number: int, name: str, cycle: Cycle) -> Iterator[Step]:
        service = state.services[number]
        following = service.term + 1
        if following == self.bounds.segments:
            volume, answer = state.volume, gluster.ABSENT if any(state.volume.links[number]) else gluster.ERROR
        else:
            volume, answer = gluster.look_up(state.volume, number, following)
        after = state._replace(volume=volume)
        if answer == gluster.ABSENT:
            what = f"{name} looks for segment {following + 1}: not there"
            yield from self._committed(after, number, name, cycle._replace(looked=True), what)
        else:
            yield f"{name} looks for segment {following + 1}: {answer}", _given_up(after, number), ""

    def _sync(self, state: State, number: int, name: str, cycle: Cycle) -> Iterator[Step]:
        service = state.services[number]
        assert service.handle
        volume, done = gluster.sync(state.volume, number, service.handle)
        after = state._replace(volume=volume)
        if done:
            further = cycle._replace(fenced=True) if self._done(cycle) else cycle._replace(synced=True)
            yield from self._committed(after, number, name, further, f"{name}'s fdatasync returns")
        else:
            yield f"{name}'s fdatasync fails", self._failed(after, number), ""

    def _answer(self, state: State, number: int, name: str, cycle: Cycle) -> Iterator[Step]:
        """What a commit was for."""
        service = state.services[number]
        assert service.handle
        if cycle.kind == "header":
            own = "2 own segment" in self.rules
            committed = service._replace(
                cycle=None,
                end=1 if own else service.end,
                confirmed=1,
                tail=(),
                manifest=service.manifest if own else (),
            )
            if own and service.tail:
                committed = committed._replace(version=(service.term, 0, len(service.tail) - 1))
            after = _with_service(state, number, committed)._replace(head=max(state.head, service.term))
            yield f"{name} is the writer", after, self._wrong(after, number, cycle.began)
        elif cycle.kind == "turn":
            yield self._turn_given(
                _with_service(state, number, service._replace(cycle=None)), number, name, cycle.request, cycle.began
            )
        else:
            yield self._stored(state, number, name, cycle)

    def _wrong(self, state: State, number: int, began: int) -> str:
        """What is wrong with an answer from a service's memory to one who came when `began` was acknowledged."""
        service = state.services[number]
        missing = began & ~service.value
        if not missing:
            return ""
        if missing & ~service.present:
            return LOST if service.term >= state.head else STALE
        return OVERWRITTEN

    def _turn_given(self, state: State, number: int, name: str, request: int, began: int) -> Step:
        service = state.services[number]
        turn = Request(TURN, service.value, service.version, service.term, began, asked=True)
        after = _with_service(_with_request(state, request, turn), number, service._replace(turn=request))
        return f"{name} gives {REQUESTS[request]} its turn", after, self._wrong(after, number, began)

    def _stored(self, state: State, number: int, name: str, cycle: Cycle) -> Step:
        service = state.services[number]
        assert service.handle
        number_of, bit = cycle.request, 1 << cycle.request
        request = state.requests[number_of]
        value = request.value | bit
        violation = TWICE if service.present & bit else ""
        stored = service._replace(
            present=service.present | bit,
            value=value,
            version=(service.handle.name, service.end, 0),
            end=service.end + 1,
            confirmed=service.end + 1,
            turn=-1 if service.turn == number_of else service.turn,
            cycle=None,
        )
        missing = state.acknowledged & ~value
        for other, theirs in enumerate(state.requests):
            # What was stored upon this update, which was in the log already, lacks nothing.
            if missing >> other & 1 and not theirs.value & bit:
                violation = violation or (OVERWRITTEN if request.began >> other & 1 else TWO_TURNS)
        after = _with_service(_with_request(state, number_of, request._replace(stage=STORED)), number, stored)
        after = after._replace(acknowledged=state.acknowledged | bit)
        return f"{name} acknowledges {REQUESTS[number_of]}'s update", after, violation

    # Requests.

    def _serve(self, state: State, number: int, name: str) -> Iterator[Step]:
        """What a writer may take up: a turn, a store, or one that is repeated."""
        service = state.services[number]
        for request, asked in enumerate(state.requests):
            if asked.stage == NEW and service.turn < 0 and (request == 0 or state.requests[request - 1].asked):
                if "4 proof before reads" in self.rules:
                    yield from self._begin(state, number, name, "turn", request)
                else:
                    yield self._turn_given(state, number, name, request, state.acknowledged)
            elif asked.stage == TURN:
                yield from self._store(state, number, name, request)
            elif asked.stage in (STORING, UNANSWERED, STORED) and state.repeats:
                yield from self._store(state._replace(repeats=state.repeats - 1), number, name, request)

    def _store(self, state: State, number: int, name: str, request: int) -> Iterator[Step]:
        service, asked = state.services[number], state.requests[request]
        who = REQUESTS[request]
        if "5 request ids" in self.rules and service.present >> request & 1:
            stored = _with_request(state, request, asked._replace(stage=STORED))
            stored = stored._replace(acknowledged=state.acknowledged | 1 << request)
            missing = state.acknowledged & ~service.value
            yield f"{name} knows {who}'s update, and says stored", stored, OVERWRITTEN if missing & asked.began else ""
            return
        same_term = asked.term == service.term and service.turn == request
        refused = "5 turn of a term" in self.rules and not same_term
        refused |= "5 conditional store" in self.rules and asked.version != service.version
        if not refused:
            yield from self._begin(state, number, name, "store", request)
            return
        if asked.stage in (STORED, STORING):
            return
        violation = DENIED if service.present >> request & 1 else ""
        after = _with_request(state, request, asked._replace(stage=REFUSED))
        if service.turn == request:
            after = _with_service(after, number, service._replace(turn=-1))
        yield f"{name} refuses {who}'s update", after, violation

    # What may fail, and what goes on by itself.

    def _dead(self, state: State, number: int) -> State:
        """A service that has died and was started again, with a mount that remembers nothing."""
        return _with_service(_given_up(state, number), number, Service(undisturbed=self.looks))

    def _disturbed(self, state: State, volume: Volume, lost: set[tuple[int, int]]) -> State:
        """The state once links are lost: files open over them are bad there, and locks are gone."""
        services = list(state.services)
        for client, brick in lost:
            service = services[client]
            handle = service.handle
            if handle:
                good, locked = list(handle.good), list(handle.locked)
                good[brick] = locked[brick] = False
                handle = handle._replace(good=(good[0], good[1]), locked=(locked[0], locked[1]))
            services[client] = service._replace(handle=handle, undisturbed=self.looks)
        return state._replace(volume=volume, services=tuple(services))

    def _settled(self, state: State) -> State:
        """The state without what no longer matters after the last fault."""
        if state.faults:
            return state
        return state._replace(volume=gluster.always_powered(state.volume))

    def canonical(self, state: State) -> State:
        """One state for all that differ only in the names of services, or in what nobody will ask about any more."""
        volume, services, requests = state.volume, state.services, state.requests
        if any(request.stage >= UNANSWERED for request in requests):
            requests = tuple(self._remembered(state, request) for request in requests)
        order = [hash((service, volume.links[n], self.machines[n] in volume.cut)) for n, service in enumerate(services)]
        if self.bounds.cuts is None and order != sorted(order):
            places = sorted(range(len(order)), key=order.__getitem__)
            services = tuple([services[place] for place in places])
            links = tuple([volume.links[place] for place in places])
            cut = volume.cut
            if cut:
                here = {self.machines[n] for n, place in enumerate(places) if self.machines[place] in cut}
                cut = frozenset(here | {machine for machine in cut if machine[0] != "s"})
            volume = volume._replace(links=links, cut=cut)
        return State(volume, services, requests, *state[3:])

    def _remembered(self, state: State, request: Request) -> Request:
        if request.stage == UNANSWERED and not state.repeats:
            return Request(REFUSED, asked=True)
        if request.stage == STORED and not state.repeats:
            return Request(STORED, request.value, asked=True)
        if request.stage == REFUSED:
            return Request(REFUSED, asked=True)
        return request

    def _faults(self, state: State) -> Iterator[Step]:
        paid = state._replace(faults=state.faults - 1)
        for kind in ("crash", "failed sync", "restart", "power cut", "all power cut", "flap", "cut", "graph"):
            if kind in self.bounds.kinds:
                fault: Callable[[State], Iterator[tuple[str, State]]] = getattr(self, "_" + kind.replace(" ", "_"))
                for name, after in fault(paid):
                    yield name, self._settled(after), ""

    def _crash(self, state: State) -> Iterator[tuple[str, State]]:
        for number, service in enumerate(state.services):
            if service.phase != IDLE:
                yield f"{SERVICES[number]} dies and is started again", self._dead(state, number)

    def _failed_sync(self, state: State) -> Iterator[tuple[str, State]]:
        """A sync that fails on both bricks; the pages count as clean, so the next one returns without them."""
        for number, service in enumerate(state.services):
            if service.cycle and not service.cycle.synced and service.handle:
                volume = gluster.taken_for_clean(state.volume, service.handle, service.end)
                failed = self._failed(state._replace(volume=volume), number, spoilt=True)
                yield f"{SERVICES[number]}'s fdatasync fails on both bricks", failed

    def _bricks(self, state: State) -> tuple[int, ...]:
        """The bricks that may be the first to fail: either will do as long as they are alike."""
        alike = gluster.swapped_is_same(state.volume) and all(
            s.handle is None or (s.handle.good[0] == s.handle.good[1] and s.handle.locked[0] == s.handle.locked[1])
            for s in state.services
        )
        return BRICKS[:1] if alike and not state.volume.cut and not state.volume.late else BRICKS

    def _restart(self, state: State) -> Iterator[tuple[str, State]]:
        for brick in self._bricks(state):
            lost = {(client, brick) for client in range(len(state.services))}
            yield f"lb{brick + 1}'s brick is restarted", self._disturbed(state, gluster.lose(state.volume, lost), lost)

    def _power_cut(self, state: State) -> Iterator[tuple[str, State]]:
        for brick in self._bricks(state):
            lost = {(client, brick) for client in range(len(state.services))}
            volume = gluster.power_cut(gluster.lose(state.volume, lost), brick)
            yield f"lb{brick + 1}'s power is cut", self._disturbed(state, volume, lost)

    def _all_power_cut(self, state: State) -> Iterator[tuple[str, State]]:
        lost = {(client, brick) for client in range(len(state.services)) for brick in BRICKS}
        volume = gluster.lose(state.volume, lost)
        for brick in BRICKS:
            volume = gluster.power_cut(volume, brick)
        yield "the power of both bricks is cut", self._disturbed(state, volume, lost)

    def _flap(self, state: State) -> Iterator[tuple[str, State]]:
        for client in range(len(state.services)):
            for brick in self._bricks(state):
                if state.volume.links[client][brick]:
                    lost = {(client, brick)}
                    after = self._disturbed(state, gluster.lose(state.volume, lost), lost)
                    yield f"{SERVICES[client]} loses its link to lb{brick + 1}", after

    def _cut(self, state: State) -> Iterator[tuple[str, State]]:
        if state.volume.cut:
            return
        for side in self.cuts:
            volume, lost = gluster.severed(state.volume, side)
            yield f"the network is cut: {self._side(side)}", self._disturbed(state, volume, lost)

    def _side(self, side: frozenset[str]) -> str:
        names = {"b0": "lb1", "b1": "lb2", "ta": "arbiter"} | {
            f"s{n}": SERVICES[n] for n in range(self.bounds.services)
        }
        order = sorted(names, key=lambda machine: (machine[0] != "s", machine))
        near = ", ".join(names[m] for m in order if m in side)
        far = ", ".join(names[m] for m in order if m not in side)
        return f"{near} | {far}"

    def _graph(self, state: State) -> Iterator[tuple[str, State]]:
        """A new graph opens files anew on each brick, if they are locked somewhere (`fuse_migrate_fd_open`); locks
        stay what they were on the one brick that is asked (`afr_getxattr_lockinfo`)."""
        for number, service in enumerate(state.services):
            handle = service.handle
            if handle is None or handle.good in ((True, True), (False, False)):
                continue
            links = state.volume.links[number]
            migrated = service._replace(handle=handle._replace(good=links), undisturbed=self.looks)
            yield (
                f"{SERVICES[number]}'s graph changes, and its file is opened on all bricks",
                _with_service(state, number, migrated),
            )

    def _world(self, state: State) -> Iterator[Step]:
        volume = state.volume
        for name, after in gluster.healings(volume, larger=self.bounds.appended):
            yield name, state._replace(volume=after), ""
        if volume.cut:
            yield "the network is whole again", state._replace(volume=volume._replace(cut=frozenset())), ""
        for client, brick, after in gluster.reconnections(volume):
            yield f"{SERVICES[client]} is connected to lb{brick + 1} again", state._replace(volume=after), ""
        for place, late in enumerate(volume.late):
            done = gluster.put(volume, late.name, late.brick, late.place, late.record)
            done = done._replace(late=(*volume.late[:place], *volume.late[place + 1 :]))
            yield f"the late write reaches lb{late.brick + 1}", state._replace(volume=done), ""
