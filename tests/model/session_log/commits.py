"""A commit: a write, a look-up of the next segment and an `fdatasync`, and what may become of each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from tests.model import volume as gluster
from tests.model.session_log.segments import Segments
from tests.model.session_log.state import (
    CREATED,
    HEADER,
    READ,
    REQUESTS,
    SERVING,
    STORED,
    STORING,
    TRYING,
    Cycle,
    Service,
    State,
    Step,
    given_up,
    with_request,
    with_service,
)
from tests.model.volume import BRICKS, LateWrite, Record


class Commits(Segments, ABC):
    """The steps of a commit, whatever it is for."""

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
        cycle = Cycle(kind, request, state.acknowledged, created=self._created(state))
        begun = with_service(state, number, service._replace(cycle=cycle))
        if request >= 0:
            stage = TRYING if kind == "turn" else STORING
            asked = begun.requests[request]
            if asked.stage != STORED:
                begun = with_request(begun, request, asked._replace(stage=stage, asked=True))
        if kind == "turn" and self.bounds.turns_look and all(service.handle.good):
            looking = service._replace(cycle=cycle._replace(synced=True))
            yield f"{name} begins {REQUESTS[request]}'s turn", with_service(begun, number, looking), ""
            return
        volume, done = gluster.write(state.volume, number, service.handle, index, record)
        begun = begun._replace(volume=volume)
        if not done:
            yield f"{name} cannot write {what}{where}", self._failed(begun, number), ""
            return
        yield f"{name} writes {what}{where}", self._written(begun, number), ""
        if record and state.faults:
            yield from self._torn(state, begun, number, f"{name} writes {what}{where}", (index, record))

    def _created(self, state: State) -> int:
        """The newest segment of which a service knows that it has created it; 0 where leases do not matter."""
        if not self.bounds.leases:
            return 0
        return max(service.term for service in state.services if service.phase in (CREATED, READ, SERVING))

    def _written(self, state: State, number: int) -> State:
        service = state.services[number]
        if service.phase != SERVING:
            service = service._replace(phase=SERVING)
        return with_service(state, number, service)

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
            yield what, with_service(state, number, service._replace(cycle=cycle)), ""
        elif not service.handle.whole and "6 events end" in self.rules:
            yield f"{what}; it notices that its segment is not whole, and gives it up", given_up(state, number), ""
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
            yield f"{name} looks for segment {following + 1}: {answer}", given_up(after, number), ""

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

    @abstractmethod
    def _answer(self, state: State, number: int, name: str, cycle: Cycle) -> Iterator[Step]:
        """What a commit was for."""
