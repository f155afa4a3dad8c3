"""All steps together, and which states are one."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model import volume as gluster
from tests.model.session_log.state import (
    CREATED,
    FOUND,
    IDLE,
    OLD,
    READ,
    REFUSED,
    SERVICES,
    SERVING,
    STORED,
    UNANSWERED,
    Request,
    State,
    Step,
    given_up,
    start,
    with_service,
)
from tests.model.session_log.turns import Turns


class Model(Turns):
    """The steps that the design and the world may take, within bounds."""

    def start(self) -> State:
        """Where it begins."""
        return start(self.bounds)

    def steps(self, state: State) -> Iterator[Step]:
        """All that may happen next."""
        for number in range(len(state.services)):
            yield from self._service(state, number)
        if state.faults:
            yield from self._faults(state)
        yield from self._world(state)

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
            yield f"{name} notices that its segment is not whole, and gives it up", given_up(state, number), ""
        elif self.bounds.moves and service.cycle is None and len(gluster.connected(state.volume, number)) == 2:
            moved = service._replace(phase=OLD, manifest=(*service.manifest, (service.term, service.end)))
            yield f"{name} notices that a brick is back", with_service(state, number, moved), ""

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
