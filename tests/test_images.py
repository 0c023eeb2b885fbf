import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_ctc.cells import ImageFile
from edge_ctc.errors import ImageError, RunUnreadableError
from edge_ctc.images.content import check_bits, open_image
from edge_ctc.images.files import MAX_FILE_BYTES, read_file
from edge_ctc.preprocess import Bits
from tests.encoders import PALETTE, bmp, png
from tests.images import listed, some_counts, tiff

COUNTS = some_counts(9, 9, 8)
CONTENT = tiff(some_counts(9, 9))


@pytest.fixture
def image(tmp_path: Path) -> ImageFile:
    (tmp_path / "Images").mkdir()
    (tmp_path / "Images" / "0001_BF.tif").write_bytes(CONTENT)
    return listed(tmp_path, "Images/0001_BF.tif")


def test_a_file_as_it_was_listed_is_read_whole(tmp_path: Path, image: ImageFile) -> None:
    assert read_file(tmp_path, image) == CONTENT


def test_a_file_that_the_disk_hands_out_in_pieces_is_read_whole(
    tmp_path: Path, image: ImageFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = os.read
    monkeypatch.setattr(os, "read", lambda handle, size: read(handle, min(size, 7)))
    assert read_file(tmp_path, image) == CONTENT


def test_an_empty_file_is_read_and_its_image_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tif").touch()
    content = read_file(tmp_path, listed(tmp_path, "a.tif"))
    with pytest.raises(ImageError, match=r"a\.tif: .*empty file"):
        open_image(content, "a.tif")


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path, image: ImageFile) -> None:
    path = tmp_path / image.name
    path.rename(tmp_path / "elsewhere.tif")
    path.symlink_to(tmp_path / "elsewhere.tif")
    with pytest.raises(RunUnreadableError, match="cannot be read"):
        read_file(tmp_path, image)


def test_a_pipe_in_the_place_of_a_file_does_not_hang_the_program(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.tif")
    with pytest.raises(RunUnreadableError, match="changed"):
        read_file(tmp_path, listed(tmp_path, "a.tif"))


def test_a_folder_in_the_place_of_a_file_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "a.tif").mkdir()
    with pytest.raises(RunUnreadableError, match="directory"):
        read_file(tmp_path, listed(tmp_path, "a.tif"))


@pytest.mark.parametrize("content", [CONTENT + b"x", CONTENT[:-1], b""])
def test_a_file_that_grew_or_shrank_since_it_was_listed_is_no_torn_image(
    tmp_path: Path, image: ImageFile, content: bytes
) -> None:
    (tmp_path / image.name).write_bytes(content)
    os.utime(tmp_path / image.name, ns=(image.mtime_ns, image.mtime_ns))
    with pytest.raises(RunUnreadableError, match="changed while the run was read"):
        read_file(tmp_path, image)


def test_a_file_written_again_with_the_same_size_has_changed(tmp_path: Path, image: ImageFile) -> None:
    os.utime(tmp_path / image.name, ns=(image.mtime_ns, image.mtime_ns + 1))
    with pytest.raises(RunUnreadableError, match="changed"):
        read_file(tmp_path, image)


def test_a_file_that_vanished_is_no_torn_image(tmp_path: Path, image: ImageFile) -> None:
    (tmp_path / image.name).unlink()
    with pytest.raises(RunUnreadableError, match="No such file"):
        read_file(tmp_path, image)


def test_a_failing_disk_is_no_torn_image(tmp_path: Path, image: ImageFile, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_handle: int, _size: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "read", fail)
    with pytest.raises(RunUnreadableError, match="Input/output error"):
        read_file(tmp_path, image)


def test_no_handle_stays_open_whether_the_file_is_read_or_refused(tmp_path: Path, image: ImageFile) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    read_file(tmp_path, image)
    with pytest.raises(RunUnreadableError):
        read_file(tmp_path, replace(image, mtime_ns=0))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_file_too_large_is_refused_unread(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="at most"):
        read_file(tmp_path, ImageFile("not there.tif", MAX_FILE_BYTES + 1, 0))
    with pytest.raises(RunUnreadableError):
        read_file(tmp_path, ImageFile("not there.tif", MAX_FILE_BYTES, 0))


def test_the_wanted_pages_come_in_the_wanted_order() -> None:
    pages = [some_counts(seed=seed) for seed in range(4)]
    image = open_image(tiff(*pages), "a.tif")
    assert image.pages == 4
    assert [image.page(page).tolist() for page in (2, 0)] == [pages[2].tolist(), pages[0].tolist()]


@pytest.mark.parametrize(("bits", "largest"), [(8, 255), (12, 4095), (16, 65535), ("unknown", 65535)])
def test_counts_up_to_the_declared_depth_are_accepted(bits: Bits, largest: int) -> None:
    counts = np.full((3, 3), largest, np.uint16)
    check_bits(counts, bits, "a.tif")


@pytest.mark.parametrize(("bits", "largest"), [(8, 256), (12, 4096)])
def test_a_single_count_beyond_the_declared_depth_is_refused(bits: Bits, largest: int) -> None:
    counts = np.zeros((3, 3), np.uint16)
    counts[1, 2] = largest
    with pytest.raises(ImageError, match=rf"a\.tif: expected counts of {bits} bits .* got {largest}"):
        check_bits(counts, bits, "a.tif")


def test_an_error_begins_with_the_name_of_the_file() -> None:
    with pytest.raises(ImageError, match=r"^0017_BF\.tif: expected a TIFF, got a PNG file"):
        open_image(b"\x89PNG\r\n\x1a\n", "0017_BF.tif")


FILES = {"TIFF": tiff(COUNTS), "PNG": png(COUNTS), "BMP": bmp(COUNTS)}


@pytest.mark.parametrize("name", ["a.tif", "a.TIFF", "b/a.b.Tif", "a.png", "a.PNG", "a.bmp", "a.Bmp"])
@pytest.mark.parametrize("kind", FILES)
def test_a_file_is_what_its_name_promises_or_refused(kind: str, name: str) -> None:
    if name.rpartition(".")[2].upper().startswith(kind[:3]):
        image = open_image(FILES[kind], name)
        assert (image.pages, image.channel_names) == (1, ())
        np.testing.assert_array_equal(image.page(0), COUNTS)
    else:
        with pytest.raises(ImageError, match=f"^{name}: expected a (TIFF|PNG|BMP), got a {kind} file; export it as"):
            open_image(FILES[kind], name)


@pytest.mark.parametrize("name", ["a.jpg", "a", "tif", ".tif", "a.tif.gz", "a."])
def test_a_name_that_promises_no_image_is_refused(name: str) -> None:
    with pytest.raises(ImageError, match=f"^{name}: expected a name that ends in .tif, .tiff, .png, .bmp, got"):
        open_image(FILES["TIFF"], name)


@pytest.mark.parametrize("index", [-1, 1])
def test_a_page_that_is_not_there_is_refused(index: int) -> None:
    with pytest.raises(ImageError, match=rf"^a\.png: expected a page {index + 1}, the file holds 1"):
        open_image(FILES["PNG"], "a.png").page(index)


def test_nothing_is_decoded_before_a_page_is_asked_for() -> None:
    spoilt = np.full((2, 2), 7, np.uint8)
    image = open_image(png(spoilt, colour_type=PALETTE, more=[(b"PLTE", bytes(3))]), "a.png")
    with pytest.raises(ImageError, match=r"^a\.png: torn: expected indices below 1"):
        image.page(0)


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_no_kind_of_file_may_hold_counts_beyond_the_declared_depth(content: bytes) -> None:
    kind = {"I": "tif", "\x89": "png", "B": "bmp"}[chr(content[0])]
    image = open_image(content, f"a.{kind}")
    check_bits(image.page(0), 8, image.name)
    with pytest.raises(ImageError, match=rf"^a\.{kind}: expected counts of 8 bits as the profile says, got 256"):
        check_bits(np.full((2, 2), 256, np.uint16), 8, image.name)
