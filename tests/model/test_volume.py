"""What the model's volume does where Gluster does what one would not expect."""

from __future__ import annotations

from tests.model import volume as gluster
from tests.model.session_log.model import Model
from tests.model.session_log.state import Bounds
from tests.model.volume import ABSENT, PRESENT, Copy, File, Handle, Volume

BOTH = (True, True)
R: gluster.Record = (1, 1, 1)


def _volume() -> Volume:
    return Model(Bounds(services=2)).start().volume


def _handle() -> Handle:
    return Handle(0, 1, BOTH, BOTH)


def test_the_arbiter_is_not_asked_while_both_bricks_answer() -> None:
    volume, done = gluster.write(_volume(), 0, _handle(), 1, R)
    assert done
    assert volume.note == gluster.NOBODY


def test_one_brick_and_the_arbiter_are_enough_and_the_other_brick_is_noted() -> None:
    volume = gluster.lose(_volume(), {(0, 1)})
    volume, done = gluster.write(volume, 0, _handle(), 1, R)
    assert done
    assert (volume.note, volume.files[0].blamed) == (1, 1)


def test_two_halves_cannot_both_write() -> None:
    volume = gluster.lose(_volume(), {(0, 1), (1, 0)})
    volume, first = gluster.write(volume, 0, _handle(), 1, R)
    volume, second = gluster.write(volume, 1, _handle(), 1, R)
    assert (first, second) == (True, False)
    # Refused, and on a brick all the same.
    assert len([copy for copy in volume.files[0].copies if copy and R in copy.records]) == 2


def test_a_half_without_the_arbiter_changes_nothing() -> None:
    volume, _ = gluster.severed(_volume(), frozenset({"s0", "b0"}))
    after, done = gluster.write(volume, 0, _handle(), 1, R)
    assert not done
    assert after == volume
    assert gluster.create(volume, 0, 1) == (volume, 0)
    assert not gluster.readable(volume, 0, 0, larger=False)


def test_that_a_name_is_not_there_is_one_bricks_word() -> None:
    volume = gluster.lose(_volume(), {(0, 1), (1, 0)})
    volume, creator = gluster.create(volume, 1, 1)
    assert creator
    assert gluster.look_up(volume, 0, 1)[1] == ABSENT
    assert gluster.look_up(volume, 1, 1)[1] == PRESENT
    # Connected to both, a client heals the name before it answers.
    (back,) = [after for client, _, after in gluster.reconnections(volume) if client == 0]
    healed, answer = gluster.look_up(back, 0, 1)
    assert answer == PRESENT
    assert healed.files[1].copies[0]


def test_a_brick_alone_is_read_unless_it_is_noted() -> None:
    volume = gluster.lose(_volume(), {(0, 1), (1, 0)})
    volume, _ = gluster.write(volume, 0, _handle(), 1, R)
    assert gluster.readable(volume, 0, 0, larger=False) == [0]
    assert gluster.readable(volume, 1, 0, larger=False) == []


def test_copies_that_differ_with_no_blame_are_healed_either_way() -> None:
    volume = gluster.put(_volume(), 0, 0, 1, R)
    assert [name for name, _ in gluster.healings(volume, larger=False)] == [
        "segment 1 is healed from lb1",
        "segment 1 is healed from lb2",
    ]
    assert [name for name, _ in gluster.healings(volume, larger=True)] == ["segment 1 is healed from lb1"]
    assert gluster.readable(volume, 0, 0, larger=False) == [0, 1]
    assert gluster.readable(volume, 0, 0, larger=True) == [0]


def test_a_note_stays_until_all_is_healed() -> None:
    volume = gluster.lose(_volume(), {(0, 1)})
    volume, _ = gluster.write(volume, 0, _handle(), 1, R)
    ((name, healed),) = gluster.healings(volume, larger=False)
    assert name == "segment 1 is healed from lb1"
    ((name, clean),) = gluster.healings(healed, larger=False)
    assert name == "the arbiter's note is taken back"
    assert clean.note == gluster.NOBODY


def test_a_power_cut_takes_what_no_fdatasync_has_brought_to_the_disk() -> None:
    volume, creator = gluster.create(_volume(), 0, 1)
    handle = gluster.opened(volume, 0, 1, creator)
    volume, _ = gluster.write(volume, 0, handle, 0, R)
    cut = gluster.power_cut(volume, 0)
    assert cut.files[1].copies == (None, Copy(creator, (R,), -1))
    volume, _ = gluster.sync(volume, 0, handle)
    assert gluster.power_cut(volume, 0).files[1].copies[0] == Copy(creator, (R,), 1)


def test_a_name_that_only_the_accused_folder_has_is_removed() -> None:
    volume = _volume()
    orphan = volume._replace(files=(volume.files[0], File((Copy(2), None)), File()))
    assert gluster.look_up(orphan, 0, 1)[1] == PRESENT
    assert gluster.look_up(orphan._replace(names_blamed=0), 0, 1)[1] == ABSENT


def test_a_handle_is_bad_where_its_link_was_lost_even_when_it_is_back() -> None:
    model = Model(Bounds(faults=1, kinds=frozenset({"restart"})))
    state = next(after for name, after, _ in model.steps(model.start()) if "restarted" in name)
    state = next(after for name, after, _ in model.steps(state) if name == "A is connected to lb1 again")
    handle = state.services[0].handle
    assert handle
    volume, done = gluster.write(state.volume, 0, handle, 1, R)
    assert done
    assert volume.note == 0
