"""What may fail, and what goes on by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

from tests.model import volume as gluster
from tests.model.session_log.state import IDLE, SERVICES, SERVING, Bounds, Service, State, Step, given_up, with_service
from tests.model.volume import BRICKS, Volume


class Failures:
    """Within bounds; what the design's own steps build upon."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.rules = bounds.rules
        self.cuts = self._cuts() if bounds.cuts is None else bounds.cuts
        self.by_lock = "1 exclusive name" not in bounds.rules
        self.machines = tuple(gluster.client_machine(client) for client in range(bounds.services))
        self.looks = "3 new look-up" in bounds.rules
        self.must_look = "1 look-up before answer" in bounds.rules and not self.by_lock

    def _cuts(self) -> tuple[frozenset[str], ...]:
        """Every cut that parts the bricks, by the side of lb1."""
        others = ["ta", *(gluster.client_machine(client) for client in range(self.bounds.services))]
        chosen = product((False, True), repeat=len(others))
        return tuple(frozenset({"b0", *(name for name, here in zip(others, c, strict=True) if here)}) for c in chosen)

    def _failed(self, state: State, number: int, *, spoilt: bool = False) -> State:
        """A commit that failed: the segment is over; or its writer tells so and goes on behind what may be there."""
        service = state.services[number]
        if (
            "6 failure ends" in self.rules
            or service.phase != SERVING
            or service.cycle is None
            or service.cycle.kind == "header"
        ):
            return given_up(state, number)
        end = service.end + (1 if spoilt and service.cycle.kind == "store" else 0)
        kept = service._replace(cycle=None, turn=-1, end=end)
        return with_service(given_up(state, number), number, kept)

    def _dead(self, state: State, number: int) -> State:
        """A service that has died and was started again, with a mount that remembers nothing."""
        return with_service(given_up(state, number), number, Service(undisturbed=self.looks))

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
                with_service(state, number, migrated),
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
