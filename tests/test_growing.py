"""When a growing run is looked at and called, which of its cells wait, and whether its export is over."""

import errno
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_ctc.cell_reader import CellReader, GrowingReader
from edge_ctc.cells import Cell, ImageFile
from edge_ctc.classify import Step
from edge_ctc.daemon.export import Export
from edge_ctc.daemon.growing import Growing
from edge_ctc.daemon.settling import Rules
from edge_ctc.doctor.mounts import Mount
from edge_ctc.errors import RunMissingError, RunUnreadableError
from edge_ctc.exports.completeness import says_it_is_over
from edge_ctc.exports.listing import Listing, list_files
from edge_ctc.exports.profile import Profile, load_profile
from edge_ctc.exports.run_table import RunTable
from edge_ctc.exports.tables import TableRow
from edge_ctc.plan import Seen
from edge_ctc.preprocess import ChannelInput, InputSpec
from tests.watching import settings_for

NOTHING = Step(None, "unchanged", is_done=False, pending=0)
FLAT = load_profile("flat").profile


class Clocked:
    """A growing run whose time a test tells."""

    def __init__(self, folder: Path, now: float) -> None:
        settings = settings_for(folder.parent, Path("reference"), settle_s=2, partial_every_s=10, quiet_s=60)
        self._now = now
        rules = Rules(lambda name: name.endswith(".tif"), lambda _: False)
        self.run = Growing(folder, settings, rules, lambda: self._now)

    def look(self, now: float) -> None:
        self._now = now
        self.run.look(is_hinted=True)

    def step(self, now: float, step: Step) -> Seen:
        self._now = now
        seen = self.run.seen()
        self.run.stepped(seen, step, now, 0.0)
        return seen

    def is_due(self, now: float) -> bool:
        self._now = now
        return self.run.is_step_due(now)


def growing_at(folder: Path, now: float) -> Clocked:
    return Clocked(folder, now)


def put(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"image")


def test_a_run_that_settled_is_due_at_once_and_not_again_without_news(tmp_path: Path) -> None:
    put(tmp_path, "1.tif")
    one = growing_at(tmp_path, 100.0)
    one.look(100.0)
    assert not one.is_due(101.0)
    one.look(102.0)
    assert one.is_due(102.0)
    one.step(102.0, NOTHING)
    assert not one.is_due(102.1)


def test_what_failed_is_still_due(tmp_path: Path) -> None:
    put(tmp_path, "1.tif")
    one = growing_at(tmp_path, 100.0)
    for now in (100.0, 102.0):
        one.look(now)
    one.run.seen()
    assert one.is_due(102.1)


def test_a_step_that_met_a_share_that_died_is_made_again_once_the_share_is_back(tmp_path: Path) -> None:
    put(tmp_path, "1.tif")
    one = growing_at(tmp_path, 100.0)
    for now in (100.0, 102.0):
        one.look(now)
    one.step(102.0, replace(NOTHING, unreadable=RunUnreadableError("gone")))
    one.run.begin_anew()
    assert not one.is_due(103.0)
    one.look(104.0)
    assert one.is_due(104.0)


def test_a_run_that_was_called_before_it_had_settled_is_due_once_it_has(tmp_path: Path) -> None:
    put(tmp_path, "1.tif")
    one = growing_at(tmp_path, 100.0)
    for now in (100.0, 102.0):
        one.look(now)
    one.run.begin_anew()
    assert not one.step(102.0, NOTHING).may_be_over
    assert not one.is_due(103.0)
    one.look(104.0)
    assert one.is_due(104.0)
    assert one.step(104.0, NOTHING).may_be_over


def test_while_files_arrive_the_first_partial_call_waits_as_the_later_ones_do(tmp_path: Path) -> None:
    put(tmp_path, "1.tif")
    one = growing_at(tmp_path, 100.0)
    for second in range(100, 112):
        put(tmp_path, f"{second}.tif")
        one.look(float(second))
        assert one.is_due(float(second)) is (second >= 110)


def test_a_quiet_run_is_due_whatever_was_done_before(tmp_path: Path) -> None:
    put(tmp_path, "1.tif")
    one = growing_at(tmp_path, 100.0)
    for now in (100.0, 102.0):
        one.look(now)
    one.step(102.0, NOTHING)
    for second in range(103, 160):
        one.look(float(second))
        assert not one.is_due(float(second))
    one.look(160.0)
    assert one.is_due(160.0)
    assert one.step(160.0, NOTHING).is_quiet


def test_a_folder_without_images_is_never_due(tmp_path: Path) -> None:
    put(tmp_path, "notes.txt")
    one = growing_at(tmp_path, 100.0)
    one.look(100.0)
    assert not one.is_due(1000.0)
    assert not one.run.holds_something


def test_a_file_that_changed_since_it_gave_no_image_is_tried_again(tmp_path: Path) -> None:
    put(tmp_path, "1.tif")
    one = growing_at(tmp_path, 100.0)
    for now in (100.0, 102.0):
        one.look(now)
    one.step(102.0, replace(NOTHING, undecoded=frozenset({"1.tif"}), doubtful=frozenset({"1.tif"})))
    assert one.step(103.0, replace(NOTHING, undecoded=frozenset({"1.tif"}))).undecoded == {"1.tif"}
    (tmp_path / "1.tif").write_bytes(b"another image")
    assert one.step(104.0, NOTHING).undecoded == frozenset()


def test_an_event_that_comes_while_a_run_is_left_alone_is_heeded_after_that(tmp_path: Path) -> None:
    one = growing_at(tmp_path, 100.0)
    one.look(100.0)
    one.run._look_again_at = 100.4
    put(tmp_path, "1.tif")
    one.look(100.2)
    assert not one.run.holds_something
    assert one.run.look_at == 100.4
    one._now = 100.4
    one.run.look(is_hinted=False)
    assert one.run.holds_something


# -- which cells wait -------------------------------------------------------------------------------------------------


def reader(folder: Path) -> GrowingReader:
    spec = InputSpec(
        channels=(ChannelInput(name="BF", range="raw"),),
        side_px=8,
        dtype="uint16",
        bits="unknown",
        pixel_size_um="unknown",
        intensity="counts",
    )
    return GrowingReader(CellReader(folder, FLAT, spec))


def cell(name: str = "1") -> Cell:
    return Cell(name, (ImageFile(f"Images/{name}_BF.tif", 10, 0),), ("BF",))


def failing(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail(*_: object) -> bytes:
        raise RunUnreadableError("cannot be read") from OSError(number, "failed")

    monkeypatch.setattr("edge_ctc.cell_reader.read_file", fail)


def test_a_file_that_is_held_or_gone_keeps_its_cell_waiting_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = np.ones((1, 8, 8), np.float32)
    for number in (errno.EBUSY, errno.EACCES, errno.ENOENT):
        failing(monkeypatch, number)
        one = reader(tmp_path)
        for name in "12345":
            assert one.read(cell(name), out).problem
        assert set(one.unreadable) == set("12345")
        assert not out.any()


def test_after_several_in_a_row_that_the_disk_does_not_give_the_others_are_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, errno.EIO)
    one, out = reader(tmp_path), np.ones((1, 8, 8), np.float32)
    for name in "123":
        one.read(cell(name), out)
    assert "not tried" in one.read(cell("4"), out).problem
    assert (set(one.unreadable), one.untried) == (set("123"), {"4"})


def test_a_cell_is_not_ready_with_a_file_unsettled_or_all_tried_in_vain_or_a_channel_missing(tmp_path: Path) -> None:
    one = reader(tmp_path)
    assert one.is_ready(cell(), (), ())
    assert not one.is_ready(cell(), {"Images/1_BF.tif"}, ())
    assert not one.is_ready(cell(), (), {"Images/1_BF.tif"})
    assert not one.is_ready(Cell("1", (ImageFile("Images/1_PE.tif", 10, 0),), ("PE",)), (), ())


# -- whether the export is over ---------------------------------------------------------------------------------------

ROW = TableRow(2, "1", "", "", ())
CELL = Cell("1", (ImageFile("Images/1_BF.tif", 1, 0), ImageFile("Images/1_PE.tif", 1, 0)), ("BF", "PE"))
HALF = Cell("2", (ImageFile("Images/2_BF.tif", 1, 0),), ("BF",))


def is_over(cells: list[Cell], table: RunTable, profile: Profile = FLAT, *names: str) -> bool:
    listing = Listing(Path("/run"), tuple(ImageFile(name, 1, 0) for name in names), ())
    return says_it_is_over(listing, cells, table, profile, ["BF"])


def test_a_table_that_names_just_the_cells_that_are_there_ends_an_export() -> None:
    assert is_over([CELL], RunTable(rows={"1": ROW}))


def test_a_table_that_names_more_or_fewer_cells_or_has_a_problem_or_is_none_ends_nothing() -> None:
    assert not is_over([CELL], RunTable(rows={"1": ROW, "2": ROW}, without_images={"2": Cell("2", (), ())}))
    assert not is_over([CELL, HALF], RunTable(rows={"1": ROW}))
    assert not is_over([CELL], RunTable(rows={"1": ROW}, problem="torn"))
    assert not is_over([CELL], RunTable())


def test_a_cell_that_lacks_a_channel_that_others_have_may_still_get_it() -> None:
    assert not is_over([CELL, HALF], RunTable(rows={"1": ROW, "2": ROW}))


def test_a_run_of_which_one_channel_has_come_is_not_over() -> None:
    bright = Cell("1", (ImageFile("Images/1_BF.tif", 1, 0),), ("BF",))
    table = RunTable(rows={"1": ROW})
    listing = Listing(Path("/run"), (), ())
    assert says_it_is_over(listing, [bright], table, FLAT, ["BF"])
    assert not says_it_is_over(listing, [bright], table, FLAT, ["BF", "PE"])


def test_a_table_that_may_name_any_cells_counts_nothing() -> None:
    assert FLAT.table is not None
    any_cells = FLAT.model_copy(update={"table": FLAT.table.model_copy(update={"rows": "any-cells"})})
    assert not is_over([CELL], RunTable(rows={"1": ROW}), any_cells)


def test_the_sentinel_ends_an_export_whatever_its_case_and_only_in_its_place() -> None:
    multipage = load_profile("multipage").profile
    assert is_over([CELL], RunTable(), multipage, "done.TXT")
    assert not is_over([CELL], RunTable(), multipage, "below/DONE.txt")
    assert not is_over([CELL], RunTable(), FLAT, "DONE.txt")


# -- the mount of the export folder -----------------------------------------------------------------------------------


def look(export: Export, monkeypatch: pytest.MonkeyPatch, *mounts: Mount) -> None:
    monkeypatch.setattr("edge_ctc.daemon.export.read_mounts", lambda: mounts)
    export.runs()


def test_a_folder_on_which_a_share_was_seen_is_away_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export = Export(settings_for(tmp_path, Path("reference")), FLAT, tmp_path)
    local, share = Mount(Path("/"), "ext4", is_read_only=False), Mount(tmp_path, "cifs", is_read_only=False)
    look(export, monkeypatch, local)
    assert not export.is_share
    look(export, monkeypatch, local, share)
    assert export.is_share
    with pytest.raises(RunMissingError, match="is gone; mount it again"):
        look(export, monkeypatch, local)
    look(export, monkeypatch, local, share)


def test_a_folder_that_is_said_to_be_a_share_is_away_until_something_is_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = Export(settings_for(tmp_path, Path("reference"), mount="share"), FLAT, tmp_path)
    local = Mount(Path("/"), "ext4", is_read_only=False)
    with pytest.raises(RunMissingError):
        look(export, monkeypatch, local)
    look(export, monkeypatch, local, Mount(tmp_path.parent, "nfs4", is_read_only=False))
    assert export.is_share


def test_a_disk_of_this_machine_may_be_looked_at_as_a_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export = Export(settings_for(tmp_path, Path("reference"), mount="share"), FLAT, tmp_path)
    look(export, monkeypatch, Mount(Path("/"), "ext4", is_read_only=False), Mount(tmp_path, "ext4", is_read_only=False))
    assert export.is_share


def test_results_are_not_written_under_a_disk_that_was_taken_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    settings = settings_for(tmp_path, Path("reference"), results=str(out))
    export = Export(settings, FLAT, tmp_path)
    local, stick = Mount(Path("/"), "ext4", is_read_only=False), Mount(out, "vfat", is_read_only=False)
    look(export, monkeypatch, local, stick)
    with pytest.raises(RunMissingError, match="is gone; mount it again"):
        look(export, monkeypatch, local)
    # Nor after a restart, before the disk is back.
    with pytest.raises(RunMissingError, match=r"or remove .*results-mount if it lies elsewhere"):
        look(Export(settings, FLAT, tmp_path), monkeypatch, local)
    look(export, monkeypatch, local, stick)


def test_a_listing_takes_over_what_is_known_and_leaves_out_what_went_meanwhile(tmp_path: Path) -> None:
    put(tmp_path, "1.tif")
    known = ImageFile("1.tif", 999, 999)
    assert list_files(tmp_path, {"1.tif": known}).files[0] is known
