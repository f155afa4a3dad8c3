"""How a service finds the newest segment, creates the next one and reads the log."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model import volume as gluster
from tests.model.session_log.failures import Failures
from tests.model.session_log.state import (
    CREATED,
    FOUND,
    HEADER,
    OLD,
    READ,
    UNREADABLE,
    Service,
    State,
    Step,
    given_up,
    with_service,
)
from tests.model.volume import BRICKS, File, Handle, Record, Volume


class Segments(Failures):
    """The steps of who becomes the writer, up to its header."""

    def _find(self, state: State, number: int, name: str) -> Iterator[Step]:
        """Finds the newest segment; or, where the lock decides, gets the lock of the one that it has followed."""
        volume = state.volume
        if self.by_lock:
            found = self._locked(state, number, 0)
            if found:
                service = state.services[number]._replace(phase=FOUND, term=0, handle=found)
                where = " and ".join(f"lb{b + 1}" for b in BRICKS if found.locked[b])
                yield f"{name} gets the lock on segment 1, on {where}", with_service(state, number, service), ""
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
        after = with_service(state._replace(volume=volume), number, service)
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
            yield f"{name} cannot create segment {segment + 1}", given_up(after, number), ""
            return
        handle = gluster.opened(volume, number, segment, creator)
        if self.by_lock:
            handle = handle._replace(locked=handle.good)
        phase = READ if service.phase == OLD else CREATED
        service = service._replace(phase=phase, term=segment, handle=handle)
        yield f"{name} creates segment {segment + 1}", with_service(after, number, service), ""

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
                    yield f"{name} cannot read the log", given_up(after, number), ""
                continue
            phase = OLD if service.phase == FOUND else READ
            read = memory._replace(
                phase=phase, term=service.term, handle=service.handle, undisturbed=service.undisturbed
            )
            yield f"{name} reads the log{how}", with_service(after, number, read), ""

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
