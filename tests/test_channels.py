import re
from typing import Any

import numpy as np
import pytest

from edge_ctc.errors import ImageError
from edge_ctc.exports.channels import channels_of
from edge_ctc.exports.profile import Profile
from tests.images import some_counts, tiff, tifffile_file

BF, DAPI, PE = (some_counts(8, 8, 12, seed) for seed in range(3))


def profile(layout: str, images: str, *channels: str, **changes: Any) -> Profile:
    fields = {"schema_version": 1, "name": "ours", "layout": layout, "images": images}
    return Profile.model_validate(fields | {"channels": tuple({"name": name} for name in channels)} | changes)


PAGES = profile("multipage", "{cell_id}.tif", "BF", "DAPI", "PE")
FLAT = profile("flat", "{cell_id}_{channel}.tif", "BF", "DAPI", "PE")


def ome(*names: str, pages: int = 3) -> bytes:
    metadata: dict[str, Any] = {"axes": "CYX"}
    if names:
        metadata["Channel"] = {"Name": list(names)}
    return tifffile_file(np.stack([BF, DAPI, PE][:pages]), ome=True, metadata=metadata, photometric="minisblack")


def test_the_pages_of_a_file_without_names_go_by_the_profiles_order() -> None:
    found = channels_of(tiff(BF, DAPI, PE), "1.tif", PAGES, ("PE", "BF"))
    assert list(found) == ["PE", "BF"]
    assert np.array_equal(found["PE"], PE)
    assert np.array_equal(found["BF"], BF)


def test_names_that_an_ome_tiff_carries_win_over_the_profiles_order() -> None:
    found = channels_of(ome("pe", "BF", "Dapi"), "1.tif", PAGES, ("BF", "DAPI", "PE"))
    assert [np.array_equal(found[name], page) for name, page in (("PE", BF), ("BF", DAPI), ("DAPI", PE))] == [True] * 3


def test_an_ome_tiff_without_names_goes_by_the_profiles_order() -> None:
    found = channels_of(ome(), "1.tif", PAGES, ("DAPI",))
    assert np.array_equal(found["DAPI"], DAPI)


@pytest.mark.parametrize("names", [("BF", "DAPI", "PerCP"), ("CK", "CD45", "DNA"), ("BF", "BF", "PE")])
def test_names_that_are_not_the_declared_ones_are_refused_and_shown(names: tuple[str, ...]) -> None:
    with pytest.raises(ImageError, match=f"1.tif: its OME-XML calls the pages {', '.join(names)}, expected each of"):
        channels_of(ome(*names), "1.tif", PAGES, ("BF",))


def test_names_that_the_profile_ignores_say_nothing() -> None:
    ignoring = PAGES.model_copy(update={"ome_names": "ignored"})
    assert np.array_equal(channels_of(ome("pe", "BF", "Dapi"), "1.tif", ignoring, ("BF",))["BF"], BF)


@pytest.mark.parametrize("pages", [1, 2, 4])
def test_another_number_of_pages_than_channels_is_refused(pages: int) -> None:
    with pytest.raises(ImageError, match=rf"1.tif: expected 3 page\(s\), got {pages}"):
        channels_of(tiff(*[BF] * pages), "1.tif", PAGES, ("BF",))


def test_a_file_of_one_channel_that_calls_itself_another_is_refused() -> None:
    content = tifffile_file(BF, ome=True, metadata={"axes": "YX", "Channel": {"Name": "PE"}})
    with pytest.raises(ImageError, match=r"1_BF\.tif: named as BF, but its OME-XML says PE"):
        channels_of(content, "1_BF.tif", FLAT, ("BF",))
    assert np.array_equal(channels_of(content, "1_PE.tif", FLAT, ("PE",))["PE"], BF)


def test_a_file_of_one_channel_with_a_name_that_nobody_declared_is_taken_by_its_file_name() -> None:
    content = tifffile_file(BF, ome=True, metadata={"axes": "YX", "Channel": {"Name": "Channel 0"}})
    assert np.array_equal(channels_of(content, "1_BF.tif", FLAT, ("BF",))["BF"], BF)


def test_the_panels_of_a_montage_go_by_the_profiles_grid() -> None:
    grid = profile(
        "montage", "{cell_id}.tif", "BF", "DAPI", "PE", montage={"panels": (("DAPI", ""), ("PE", "BF")), "gutter_px": 1}
    )
    blank = np.zeros((8, 8), np.uint16)
    line = np.full((8, 1), 7, np.uint16)
    rows = [np.hstack([DAPI, line, blank]), np.full((1, 17), 7, np.uint16), np.hstack([PE, line, BF])]
    found = channels_of(tiff(np.vstack(rows)), "1.tif", grid, ("BF", "DAPI", "PE"))
    for name, panel in (("BF", BF), ("DAPI", DAPI), ("PE", PE)):
        assert np.array_equal(found[name], panel)


def test_a_montage_of_another_size_is_refused_by_its_name() -> None:
    strip = profile("montage", "{cell_id}.tif", "BF", "DAPI", montage={"panels": (("BF", "DAPI"),)})
    with pytest.raises(ImageError, match=re.escape("1.tif: montage of 7 x 5 px, expected")):
        channels_of(tiff(some_counts(5, 7)), "1.tif", strip, ("BF",))


@pytest.mark.parametrize("ours", [FLAT, PAGES])
def test_counts_beyond_the_declared_depth_are_refused(ours: Profile) -> None:
    bright = BF | np.uint16(4096)
    content = tiff(bright) if ours is FLAT else tiff(bright, DAPI, PE)
    declared = ours.model_copy(update={"bits": 12})
    with pytest.raises(ImageError, match=r"1_BF\.tif: expected counts of 12 bits"):
        channels_of(content, "1_BF.tif", declared, ("BF",))
    assert channels_of(content, "1_BF.tif", ours, ("BF",))["BF"].max() > 4095
