"""Which files are ready: two looks apart by our own clock, and nothing that a server's clock says."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from edge_ctc.cells import ImageFile
from edge_ctc.daemon.settling import Rules, Settling, fingerprint
from edge_ctc.exports.listing import Listing

SETTLE_S = 2.0


def listing(*files: ImageFile) -> Listing:
    return Listing(Path("/run"), tuple(sorted(files, key=lambda file: file.name)), ())


def image(name: str = "1_BF.tif", size: int = 100, mtime_ns: int = 0) -> ImageFile:
    return ImageFile(name, size, mtime_ns)


def settling() -> Settling:
    rules = Rules(lambda name: name.endswith((".tif", ".flag")), lambda name: name.endswith(".flag"))
    return Settling(SETTLE_S, rules, now=0.0)


def look_at(one: Settling, seen: Listing, now: float) -> None:
    one.look(seen, now, now)


def test_a_file_is_ready_in_the_second_look_that_is_long_enough_after_the_first() -> None:
    one = settling()
    for now, ready in ((10.0, False), (11.9, False), (12.0, True)):
        look_at(one, listing(image()), now)
        assert (one.known == {"1_BF.tif": image()}) is ready
        assert (one.unsettled == frozenset()) is ready


def test_one_look_however_late_after_nothing_does_not_make_a_file_ready() -> None:
    one = settling()
    look_at(one, listing(image()), 1e6)
    assert one.unsettled == {"1_BF.tif"}


def test_a_file_that_grows_or_whose_time_changes_begins_anew() -> None:
    one = settling()
    look_at(one, listing(image()), 0.0)
    look_at(one, listing(image(size=200)), 2.0)
    look_at(one, listing(image(size=200, mtime_ns=5)), 4.0)
    assert one.unsettled == {"1_BF.tif"}
    assert one.changed_at == 4.0
    look_at(one, listing(image(size=200, mtime_ns=5)), 6.0)
    assert not one.unsettled


def test_times_of_1970_or_of_the_future_are_times_like_any_other() -> None:
    for mtime_ns in (0, -5, 4_102_444_800 * 10**9):
        one = settling()
        look_at(one, listing(image(mtime_ns=mtime_ns)), 0.0)
        look_at(one, listing(image(mtime_ns=mtime_ns)), 2.0)
        assert not one.unsettled


def test_an_empty_file_is_never_ready() -> None:
    one = settling()
    for now in (0.0, 2.0, 1000.0):
        look_at(one, listing(image(size=0)), now)
        assert one.unsettled == {"1_BF.tif"}
    assert one.next_at is None


def test_a_sentinel_is_ready_without_a_byte_in_it() -> None:
    one = settling()
    for now in (0.0, 2.0):
        look_at(one, listing(image("over.flag", size=0)), now)
    assert one.has_settled(2.0)


def test_a_run_is_quiet_from_its_last_change_to_the_last_look_and_not_to_now() -> None:
    one = settling()
    look_at(one, listing(image()), 10.0)
    assert one.quiet_s == 0.0
    look_at(one, listing(image()), 25.0)
    assert one.quiet_s == 15.0
    one.begin_anew(100.0)
    assert one.quiet_s == 0.0


def test_a_slow_look_shortens_no_wait() -> None:
    one = settling()
    one.look(listing(image()), 0.0, 2.5)
    one.look(listing(image()), 2.6, 5.1)
    assert one.unsettled == {"1_BF.tif"}
    one.look(listing(image()), 5.2, 7.7)
    assert not one.unsettled


def test_after_an_outage_what_was_not_ready_settles_anew() -> None:
    one = settling()
    look_at(one, listing(image()), 0.0)
    one.begin_anew(50.0)
    look_at(one, listing(image()), 50.0)
    assert one.unsettled == {"1_BF.tif"}
    look_at(one, listing(image()), 52.0)
    assert not one.unsettled


def test_a_ready_file_that_is_written_to_again_is_not_ready() -> None:
    one = settling()
    for now in (0.0, 2.0):
        look_at(one, listing(image()), now)
    look_at(one, listing(image(mtime_ns=9)), 3.0)
    assert one.unsettled == {"1_BF.tif"}
    assert not one.known


def test_what_calls_cannot_rest_on_changes_nothing() -> None:
    one = settling()
    look_at(one, listing(image()), 0.0)
    for now in (1.0, 2.0, 3.0):
        look_at(one, listing(image(), image("export.log", size=int(now))), now)
    assert one.has_settled(3.0)
    assert one.changed_at == 0.0


def test_a_run_from_which_a_file_goes_settles_again_before_it_can_be_over() -> None:
    one = settling()
    both = listing(image(), image("2_BF.tif"))
    for now in (0.0, 2.0):
        look_at(one, both, now)
    assert one.has_settled(2.0)
    look_at(one, listing(image()), 3.0)
    assert not one.has_settled(4.9)
    assert one.has_settled(5.0)
    assert one.changed_at == 3.0


def test_files_that_the_listing_took_over_are_compared_by_identity_and_stay_ready() -> None:
    one = settling()
    for now in (0.0, 2.0):
        look_at(one, listing(image()), now)
    look_at(one, listing(one.known["1_BF.tif"]), 2.5)
    assert one.has_settled(2.5)


@given(st.lists(st.tuples(st.floats(0.01, 3.0), st.sampled_from(["grow", "touch", "look"])), min_size=1, max_size=30))
def test_no_file_is_ready_that_changed_within_the_settle_time(course: list[tuple[float, str]]) -> None:
    one, now, size, mtime_ns, seen_changed_at = settling(), 0.0, 1, 0, None
    seen: tuple[int, int] | None = None
    for pause, what in course:
        now += pause
        size += what == "grow"
        mtime_ns += what == "touch"
        look_at(one, listing(image(size=size, mtime_ns=mtime_ns)), now)
        if seen != (size, mtime_ns):
            seen, seen_changed_at = (size, mtime_ns), now
        assert seen_changed_at is not None
        assert (not one.unsettled) == (now - seen_changed_at >= SETTLE_S)


def test_the_fingerprint_tells_any_name_size_and_time() -> None:
    base = listing(image(), image("2_BF.tif"))
    others = [
        listing(image()),
        listing(image(), image("3_BF.tif")),
        listing(image(), image("2_BF.tif", size=101)),
        listing(image(), image("2_BF.tif", mtime_ns=1)),
    ]
    assert fingerprint(base) == fingerprint(listing(image("2_BF.tif"), image()))
    assert fingerprint(base) not in {fingerprint(other) for other in others}
