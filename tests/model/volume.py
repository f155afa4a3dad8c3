"""The volume `sessions` as far as the session log can notice: `replica 2 thin-arbiter 1`, by what its translators do.

A volume is plain data, and each operation a function from a volume to the next one. An operation is one step, as if
nothing happened while it is under way; where that would hide something there is a step of its own: a write that reaches
one brick only, one that arrives late, one that fails.

What stands for what (functions of GlusterFS' source, 10.3 and the development branch at 595745f):

- A *copy* is a file on a brick: records in order, `HOLE` where nothing valid was written. `creator` stands for its
  gfid.
- A *link* is a client's connection to a brick. It is up, or lost for both of its ends at once. An operation that waits
  for a connection whose loss nobody has noticed yet is an operation that has not happened yet.
- A *file handle* is good on a brick from its opening until that link is lost, and never again, since the volume has
  `client.strict-locks` (`client_open`, `client_get_remote_fd`, `client_post_handshake`).
- A client needs two bricks, or one and the arbiter, before it changes or reads anything (`afr_ta_has_quorum`). The
  arbiter is asked only after one brick has failed a change (`afr_ta_post_op_do`).
- The arbiter's note is asked for each time. A real client remembers it under a lock that the healing daemon can recall.
- A blame (the pending attributes on the good copy) is taken for durable.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

Record = tuple[Any, ...]
"""What one write puts into a file; `tests/model/session_log/state.py` gives it meaning."""

HOLE: Record = ()
CLEAN = "clean"
"""Before a record that is in a brick's page cache alone, and that the kernel takes for written: its `fdatasync` has
failed."""

BRICKS = (0, 1)
NOBODY = 2
"""In place of a brick: none is blamed, nothing is noted."""


class Copy(NamedTuple):
    """One file on one brick."""

    creator: int
    records: tuple[Record, ...] = ()
    durable: int = -1
    """How many of its records are on the disk; -1 if not even the name is."""


class File(NamedTuple):
    """One name on both bricks."""

    copies: tuple[Copy | None, Copy | None] = (None, None)
    blamed: int = NOBODY
    """The brick whose copy the other one accuses."""


class LateWrite(NamedTuple):
    """A write whose client has gone, and which a brick has not executed yet."""

    brick: int
    name: int
    place: int
    record: Record


class Volume(NamedTuple):
    """Both bricks, the arbiter, and each client's links."""

    files: tuple[File, ...]
    """By name: file `n` is segment `n + 1` of the log."""
    links: tuple[tuple[bool, bool], ...]
    """By client and brick."""
    names_blamed: int = NOBODY
    """The brick whose folder the other one accuses."""
    note: int = NOBODY
    """The brick that the arbiter has noted as outdated."""
    cut: frozenset[str] = frozenset()
    """One side of a cut network, by machine: `s0` …, `b0`, `b1`, `ta`. Empty if it is whole."""
    late: tuple[LateWrite, ...] = ()
    power_may_fail: bool = True
    """Without it nobody keeps account of what is durable."""


def client_machine(client: int) -> str:
    """The machine of a client, as `Volume.cut` names it."""
    return f"s{client}"


def _together(volume: Volume, *machines: str) -> bool:
    return not volume.cut or len({machine in volume.cut for machine in machines}) == 1


def connected(volume: Volume, client: int) -> list[int]:
    """The bricks that a client is connected to."""
    links = volume.links[client]
    return [brick for brick in BRICKS if links[brick]]


def _may_ask(volume: Volume, client: int) -> bool:
    """Whether a client reaches enough of bricks and arbiter for a transaction or a read (`afr_ta_has_quorum`)."""
    bricks = sum(volume.links[client])
    return bricks == 2 or (bricks == 1 and _together(volume, client_machine(client), "ta"))


def _noted(volume: Volume, client: int, failed: int) -> Volume | None:
    """The volume once the arbiter has noted a brick that has failed a change, or None if it refuses or is not
    reached."""
    if not _together(volume, client_machine(client), "ta") or volume.note not in (NOBODY, failed):
        return None
    return volume._replace(note=failed)


def with_file(volume: Volume, name: int, file: File) -> Volume:
    """The volume with another file of that name."""
    files = volume.files
    return volume._replace(files=(*files[:name], file, *files[name + 1 :]))


def _with_copy(file: File, brick: int, copy: Copy | None) -> File:
    return file._replace(copies=(copy, file.copies[1]) if brick == 0 else (file.copies[0], copy))


def _only_on(file: File) -> int:
    """The brick that alone has the name, or NOBODY."""
    first, second = file.copies
    if (first is None) == (second is None):
        return NOBODY
    return 0 if second is None else 1


def _same_everywhere(file: File) -> bool:
    first, second = file.copies
    if first is second:
        return True
    if first is None or second is None:
        return first is second
    return first.creator == second.creator and first.records == second.records


def _heal_name(volume: Volume, name: int) -> Volume:
    """Makes a name the same on both bricks (`__afr_selfheal_name_do`): one that only the accused folder has is
    removed, any other is made on the other brick, empty, and its copy there accused (`afr_selfheal_newentry_mark`).
    Of two files of one name that of the accused folder is replaced; if none is accused, both stay, and opening them
    is an error."""
    file = volume.files[name]
    holder = _only_on(file)
    if holder != NOBODY:
        copy = file.copies[holder]
        assert copy is not None
        if volume.names_blamed == holder:
            return with_file(volume, name, File())
        return with_file(volume, name, _with_copy(file, 1 - holder, Copy(copy.creator))._replace(blamed=1 - holder))
    first, second = file.copies
    if first and second and first.creator != second.creator and volume.names_blamed != NOBODY:
        bad = volume.names_blamed
        good = second if bad == 0 else first
        return with_file(volume, name, _with_copy(file, bad, Copy(good.creator))._replace(blamed=bad))
    return volume


PRESENT, ABSENT, ERROR = "present", "absent", "error"


def look_up(volume: Volume, client: int, name: int) -> tuple[Volume, str]:
    """A look-up by name. Nobody asks the arbiter whether a brick's "no such file" counts (`afr_lookup_done`);
    connected to both bricks, the client heals the name first (`afr_lookup_entry_heal`)."""
    bricks = connected(volume, client)
    if not bricks:
        return volume, ERROR
    if len(bricks) == 2:
        volume = _heal_name(volume, name)
        first, second = volume.files[name].copies
        if first and second and first.creator != second.creator:
            return volume, ERROR
    there = any(volume.files[name].copies[brick] for brick in bricks)
    return volume, PRESENT if there else ABSENT


def create(volume: Volume, client: int, name: int) -> tuple[Volume, int]:
    """Creates a file exclusively: an entry transaction. Returns the creator's number, or 0 if it failed: because the
    name is there, or with an error, which may leave the file on the brick that was reached."""
    volume, found = look_up(volume, client, name)
    if found != ABSENT or not _may_ask(volume, client):
        return volume, 0
    creator = 1 + max(copy.creator for file in volume.files for copy in file.copies if copy)
    bricks = connected(volume, client)
    file = volume.files[name]
    for brick in bricks:
        file = _with_copy(file, brick, Copy(creator))
    volume = with_file(volume, name, file)
    if len(bricks) == 2:
        return volume, creator
    noted = _noted(volume, client, 1 - bricks[0])
    if noted is None:
        return volume, 0
    return noted._replace(names_blamed=1 - bricks[0]), creator


class Handle(NamedTuple):
    """An open file: which one, and on which bricks it is good and locked."""

    name: int
    creator: int
    good: tuple[bool, bool]
    opened: tuple[bool, bool]
    """Where it was good at first."""
    locked: tuple[bool, bool] = (False, False)

    @property
    def whole(self) -> bool:
        """Whether nothing has happened to it since it was opened."""
        return self.good == self.opened


def opened(volume: Volume, client: int, name: int, creator: int) -> Handle:
    """Opens a file wherever the client is connected."""
    copies, links = volume.files[name].copies, volume.links[client]
    first, second = ((copy := copies[b]) is not None and copy.creator == creator and links[b] for b in BRICKS)
    return Handle(name, creator, (first, second), (first, second))


def _usable(volume: Volume, client: int, handle: Handle) -> list[int]:
    copies, links = volume.files[handle.name].copies, volume.links[client]
    return [
        brick
        for brick in BRICKS
        if links[brick] and handle.good[brick] and (copy := copies[brick]) and copy.creator == handle.creator
    ]


def put(volume: Volume, name: int, brick: int, index: int, record: Record) -> Volume:
    """What a brick does for a write."""
    file = volume.files[name]
    copy = file.copies[brick]
    if copy is None:
        return volume
    old = copy.records + (HOLE,) * (index - len(copy.records))
    records = (*old[:index], record, *old[index + 1 :])
    return with_file(volume, name, _with_copy(file, brick, Copy(copy.creator, records, min(copy.durable, index))))


def _arbitrated(volume: Volume, client: int, name: int, done: list[int]) -> tuple[Volume, bool]:
    """The end of a transaction on a file that at least one brick has done."""
    if len(done) == 2:
        return volume, True
    failed = 1 - done[0]
    noted = _noted(volume, client, failed)
    if noted is None:
        return volume, False
    return with_file(noted, name, noted.files[name]._replace(blamed=failed)), True


def write(volume: Volume, client: int, handle: Handle, index: int, record: Record | None) -> tuple[Volume, bool]:
    """Writes a record, or, with None, something that nobody reads. A refused write may have reached a brick."""
    bricks = _usable(volume, client, handle)
    if not bricks or not _may_ask(volume, client):
        return volume, False
    if record is not None:
        for brick in bricks:
            volume = put(volume, handle.name, brick, index, record)
    return _arbitrated(volume, client, handle.name, bricks)


def sync(volume: Volume, client: int, handle: Handle) -> tuple[Volume, bool]:
    """`fdatasync`: a transaction like a write (`afr_fsync`). A name is durable with its file's first one (ext4,
    XFS)."""
    bricks = _usable(volume, client, handle)
    if not bricks or not _may_ask(volume, client):
        return volume, False
    file = volume.files[handle.name]
    for brick in bricks:
        copy = file.copies[brick]
        assert copy is not None
        if volume.power_may_fail:
            file = _with_copy(file, brick, copy._replace(durable=len(copy.records)))
    return _arbitrated(with_file(volume, handle.name, file), client, handle.name, bricks)


def readable(volume: Volume, client: int, name: int, *, larger: bool) -> list[int]:
    """The bricks that a read by a client may go to, after a new look-up of the name; empty if it is refused.

    With both bricks connected, those that no one accuses (`afr_read_txn`); where two copies differ and none is
    accused that is chance, or the larger one with `larger`, which Gluster prefers as long as nobody has the file locked
    (`afr_accuse_smallfiles`). With one brick, that one if its copy accuses the other or the arbiter has not noted it
    (`afr_ta_read_txn`)."""
    bricks = connected(volume, client)
    if not bricks or not _may_ask(volume, client):
        return []
    file = volume.files[name]
    if len(bricks) == 1:
        brick = bricks[0]
        return [brick] if file.blamed == 1 - brick or volume.note != brick else []
    good = [brick for brick in bricks if brick != file.blamed and file.copies[brick]]
    if larger and len(good) == 2:
        lengths = [len(copy.records) for copy in file.copies if copy]
        good = [brick for brick in good if lengths[brick] == max(lengths)]
    return good


def healings(volume: Volume, *, larger: bool) -> Iterator[tuple[str, Volume]]:
    """What the healing daemons may do next: names, one file, or the note. They need both bricks, and for the note the
    arbiter. An accused copy is replaced; of two that differ with none accused, either, or the smaller one with `larger`
    (`__afr_selfheal_data_finalize_source`). A healed copy is on the disk before the blame goes."""
    if not _together(volume, "b0", "b1"):
        return
    named = volume
    if not names_agree(volume):
        for name in range(len(volume.files)):
            named = _heal_name(named, name)
    if named.names_blamed != NOBODY:
        named = named._replace(names_blamed=NOBODY)
    if named != volume:
        yield "names are healed", named
    for name, file in enumerate(volume.files):
        first, second = file.copies
        if first is None or second is None or first is second or first.creator != second.creator:
            continue
        if file.blamed != NOBODY:
            sources = [1 - file.blamed]
        elif first.records != second.records:
            longest = max(len(first.records), len(second.records))
            sources = [b for b in BRICKS if not larger or len((first, second)[b].records) == longest]
        else:
            continue
        for source in sources:
            good = (first, second)[source]
            durable = len(good.records) if volume.power_may_fail else -1
            healed = _with_copy(file, 1 - source, good._replace(durable=durable))._replace(blamed=NOBODY)
            yield f"segment {name + 1} is healed from lb{source + 1}", with_file(volume, name, healed)
    if volume.note != NOBODY and _together(volume, "b0", "ta") and is_healed(volume):
        yield "the arbiter's note is taken back", volume._replace(note=NOBODY)


def names_agree(volume: Volume) -> bool:
    """Whether the name of each file is on both bricks or on none, of the same file."""
    if volume.names_blamed != NOBODY:
        return False
    return all(
        (first is None) == (second is None) and (first is None or second is None or first.creator == second.creator)
        for first, second in (file.copies for file in volume.files)
    )


def is_healed(volume: Volume) -> bool:
    """Whether both bricks hold the same, and none accuses the other."""
    clean = volume.names_blamed == NOBODY and all(file.blamed == NOBODY for file in volume.files)
    return clean and all(_same_everywhere(file) for file in volume.files)


def always_powered(volume: Volume) -> Volume:
    """The volume when no power cut is to come."""
    if not volume.power_may_fail:
        return volume
    for name, file in enumerate(volume.files):
        first, second = (copy and copy._replace(durable=-1) for copy in file.copies)
        volume = with_file(volume, name, file._replace(copies=(first, second)))
    return volume._replace(power_may_fail=False)


def lose(volume: Volume, lost: set[tuple[int, int]]) -> Volume:
    """The volume without those links (client, brick)."""
    links = tuple(
        (up[0] and (client, 0) not in lost, up[1] and (client, 1) not in lost) for client, up in enumerate(volume.links)
    )
    return volume._replace(links=links)


def reconnections(volume: Volume) -> Iterator[tuple[int, int, Volume]]:
    """The links that may come back, each with the volume then. Files that were open over them stay lost."""
    for client, up in enumerate(volume.links):
        for brick in () if up == (True, True) else BRICKS:
            if not up[brick] and _together(volume, client_machine(client), f"b{brick}"):
                back = (True, up[1]) if brick == 0 else (up[0], True)
                yield client, brick, volume._replace(links=(*volume.links[:client], back, *volume.links[client + 1 :]))


def severed(volume: Volume, side: frozenset[str]) -> tuple[Volume, set[tuple[int, int]]]:
    """The volume when the network is cut, and the links that this takes."""
    volume = volume._replace(cut=side)
    lost = {
        (client, brick)
        for client in range(len(volume.links))
        for brick in BRICKS
        if not _together(volume, client_machine(client), f"b{brick}")
    }
    return lose(volume, lost), lost


def power_cut(volume: Volume, brick: int) -> Volume:
    """What is left on a brick after a power cut: what `fdatasync` had brought to its disk."""
    for name, file in enumerate(volume.files):
        copy = file.copies[brick]
        if copy is None:
            continue
        kept = tuple(HOLE if record[:1] == (CLEAN,) else record for record in copy.records[: copy.durable])
        left = None if copy.durable < 0 else copy._replace(records=kept)
        volume = with_file(volume, name, _with_copy(file, brick, left))
    return volume._replace(late=tuple(write for write in volume.late if write.brick != brick))


def valid(records: tuple[Record, ...]) -> tuple[Record, ...]:
    """The records before the first one that is none, as a reader finds them by their checksums."""
    if HOLE in records:
        records = records[: records.index(HOLE)]
    return tuple([record[1] if record[0] == CLEAN else record for record in records])


def taken_for_clean(volume: Volume, handle: Handle, index: int) -> Volume:
    """What a failed `fdatasync` leaves of a record, on both bricks."""
    for brick in BRICKS:
        copy = volume.files[handle.name].copies[brick]
        if copy and index < len(copy.records):
            volume = put(volume, handle.name, brick, index, (CLEAN, copy.records[index]))
    return volume


def swapped_is_same(volume: Volume) -> bool:
    """Whether the bricks can be exchanged without anyone noticing, so that it does for one of them to fail first."""
    return (
        volume.note == volume.names_blamed == NOBODY
        and all(
            first == second for pair in ([file.copies for file in volume.files], volume.links) for first, second in pair
        )
        and all(file.blamed == NOBODY for file in volume.files)
    )
