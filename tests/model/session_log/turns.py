"""Turns and stores: what a writer answers to requests, and what is wrong with an answer."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.session_log.commits import Commits
from tests.model.session_log.state import (
    DENIED,
    LOST,
    NEW,
    OVERWRITTEN,
    REFUSED,
    REQUESTS,
    STALE,
    STORED,
    STORING,
    TURN,
    TWICE,
    TWO_TURNS,
    UNANSWERED,
    Cycle,
    Request,
    State,
    Step,
    with_request,
    with_service,
)


class Turns(Commits):
    """The steps of a writer between commits."""

    def _answer(self, state: State, number: int, name: str, cycle: Cycle) -> Iterator[Step]:
        """What a commit was for."""
        service = state.services[number]
        assert service.handle
        if self.bounds.leases and (cycle.created >= state.head or not self.bounds.waits):
            service = service._replace(lease=cycle.created)
            state = with_service(state, number, service)
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
            after = with_service(state, number, committed)._replace(head=max(state.head, service.term))
            if self.bounds.waits:
                after = self._leases_over(after, service.term)
            yield f"{name} is the writer", after, self._wrong(after, number, cycle.began)
        elif cycle.kind == "turn":
            yield self._turn_given(
                with_service(state, number, service._replace(cycle=None)), number, name, cycle.request, cycle.began
            )
        else:
            yield self._stored(state, number, name, cycle)

    def _leases_over(self, state: State, created: int) -> State:
        """When a successor has waited: those that began before it had created its segment."""
        services = [s._replace(lease=-1) if s.lease < created else s for s in state.services]
        return state._replace(services=tuple(services))

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
        after = with_service(with_request(state, request, turn), number, service._replace(turn=request))
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
        after = with_service(with_request(state, number_of, request._replace(stage=STORED)), number, stored)
        after = after._replace(acknowledged=state.acknowledged | bit)
        return f"{name} acknowledges {REQUESTS[number_of]}'s update", after, violation

    def _serve(self, state: State, number: int, name: str) -> Iterator[Step]:
        """What a writer may take up: a turn, a store, or one that is repeated."""
        service = state.services[number]
        for request, asked in enumerate(state.requests):
            if asked.stage == NEW and service.turn < 0 and (request == 0 or state.requests[request - 1].asked):
                if "4 proof before reads" in self.rules:
                    yield from self._begin(state, number, name, "turn", request)
                if service.lease >= 0 or "4 proof before reads" not in self.rules:
                    yield self._turn_given(state, number, name, request, state.acknowledged)
            elif asked.stage == TURN:
                yield from self._store(state, number, name, request)
            elif asked.stage in (STORING, UNANSWERED, STORED) and state.repeats:
                yield from self._store(state._replace(repeats=state.repeats - 1), number, name, request)

    def _store(self, state: State, number: int, name: str, request: int) -> Iterator[Step]:
        service, asked = state.services[number], state.requests[request]
        who = REQUESTS[request]
        if "5 request ids" in self.rules and service.present >> request & 1:
            stored = with_request(state, request, asked._replace(stage=STORED))
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
        after = with_request(state, request, asked._replace(stage=REFUSED))
        if service.turn == request:
            after = with_service(after, number, service._replace(turn=-1))
        yield f"{name} refuses {who}'s update", after, violation
