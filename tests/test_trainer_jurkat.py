"""The Jurkat experiment's run and labels: which cells may choose a recipe, and which may be held out."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold
from typer.testing import CliRunner

from edge_ctc.errors import DataError, InputMissingError, ResultsError
from edge_ctc.exports.profile import load_profile
from trainer.cells.dataset import Dataset, Wanted, read_dataset
from trainer.cells.labels import Label, read_labels
from trainer.progress import ConsoleReporter
from trainer.trials.jurkat import CAVEAT, Cells, app, read_cells, write

REAL = Path(__file__).parents[2] / "shared" / "data" / "jurkat_ifc"
PROFILE = Path(__file__).parents[1] / "trainer" / "recipes" / "jurkat-profile.toml"
TABLES = ("labels.csv", "labels-few.csv", "labels-develop.csv")
PHASES = ("G1", "Metaphase", "S_phase", "G2", "Dead")


def write_archive(folder: Path, **changes: NDArray[np.generic]) -> Path:
    """100 cells of the first acquisition, 20 mitotic, 20 in no phase that counts, and 10 of another acquisition."""
    count = 110
    arrays: dict[str, NDArray[np.generic]] = {
        "images": np.arange(count * 3 * 64, dtype=np.uint16).reshape(count, 3, 8, 8) % 4096,
        "channels": np.array(["Ch4_PI_fluorescence", "Ch3_brightfield", "Ch6_darkfield"]),
        "phase": np.array([PHASES[number % 5] for number in range(count)]),
        "experiment": np.array(["Experiment_1"] * 100 + ["Experiment_2"] * 10),
    }
    np.savez(folder / "cells.npz", allow_pickle=False, **(arrays | changes))
    return folder / "cells.npz"


def labels_in(out: Path) -> dict[str, tuple[Label, ...]]:
    return {name: read_labels(out / name).cells for name in TABLES}


def images_in(out: Path) -> Dataset:
    """Every cell of labels.csv, as the trainer reads them by the profile that travels."""
    labels = read_labels(out / "labels.csv").cells
    with ConsoleReporter() as reporter:
        return read_dataset(out / "runs", labels, load_profile(str(PROFILE)), Wanted(("BF",), ("PI",)), reporter)


def test_every_image_is_read_back_as_the_channel_that_it_is(tmp_path: Path) -> None:
    archive = write_archive(tmp_path)
    write(read_cells(archive), tmp_path / "out")
    found = images_in(tmp_path / "out")
    source = np.load(archive)["images"][[number for number in range(100) if number % 5 != 4]]
    assert (found.bits, found.dtype, found.unlabelled, len(found.cells)) == (12, "uint16", 0, 80)
    for cell in found.cells:
        index = int(cell.label.cell_id)
        assert np.array_equal(cell.counts[0], source[index, 1])
        assert np.array_equal(cell.auxiliary[0], source[index, 0])
        assert cell.label.is_ctc == (index % 4 == 1)


def test_cells_for_development_are_one_patient_that_no_other_table_shares(tmp_path: Path) -> None:
    write(read_cells(write_archive(tmp_path)), tmp_path / "out")
    every, few, develop = labels_in(tmp_path / "out").values()
    ids = {name: [label.cell_id for label in labels] for name, labels in labels_in(tmp_path / "out").items()}
    assert len(every) == 80
    assert sorted(ids["labels-few.csv"] + ids["labels-develop.csv"]) == sorted(ids["labels.csv"])
    assert {label.cell_id for label in every if label.patient == "develop"} == set(ids["labels-develop.csv"])
    assert Counter(label.is_ctc for label in develop) == {True: 4, False: 12}
    own = [label.patient for label in (*few, *develop)]
    assert len(set(own)) == 80
    assert "develop" not in own
    kept = {label.cell_id: label.is_ctc for label in every}
    assert all(kept[label.cell_id] == label.is_ctc for label in (*few, *develop))


def test_the_command_says_that_there_are_no_donors(tmp_path: Path) -> None:
    write_archive(tmp_path)
    ended = CliRunner().invoke(app, ["--data", str(tmp_path), "--out", str(tmp_path / "out")])
    assert ended.exit_code == 0
    assert ended.output == f"{tmp_path / 'out'}: 20 mitotic and 60 interphase cells; {CAVEAT}\n"
    assert CAVEAT in (tmp_path / "out" / "README").read_text()


def test_an_archive_that_is_not_there_or_another_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputMissingError, match=r"cells\.npz: no such file"):
        read_cells(tmp_path / "cells.npz")
    archive = write_archive(tmp_path, channels=np.array(["BF", "PI", "SSC"]))
    with pytest.raises(DataError, match="not the Jurkat cells"):
        read_cells(archive)


def test_a_place_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    cells = read_cells(write_archive(tmp_path))
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").touch()
    with pytest.raises(ResultsError, match="holds something already"):
        write(cells, out)
    assert [path.name for path in out.iterdir()] == ["mine"]


def test_a_disk_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = read_cells(write_archive(tmp_path))

    def full(path: Path, *_: object, **__: object) -> None:
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("trainer.trials.jurkat.tifffile.imwrite", full)
    with pytest.raises(ResultsError, match="No space left on device"):
        write(cells, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["cells.npz"]


@pytest.fixture(scope="module")
def real() -> Cells:
    if not REAL.is_dir():
        pytest.skip(f"the real Jurkat images are not at {REAL}")
    return read_cells(REAL / "cells.npz")


@pytest.mark.real
def test_the_first_acquisition_has_717_mitotic_cells_and_a_fifth_of_all_is_for_development(real: Cells) -> None:
    assert (len(real.is_mitotic), int(real.is_mitotic.sum())) == (3417, 717)
    assert real.images.shape == (3417, 2, 40, 40)
    assert (int((real.is_develop & real.is_mitotic).sum()), int(real.is_develop.sum())) == (144, 684)
    folds = StratifiedKFold(5, shuffle=True, random_state=0).split(real.is_mitotic, real.is_mitotic)
    assert np.array_equal(np.flatnonzero(real.is_develop), next(iter(folds))[1])


@pytest.mark.real
@pytest.mark.timeout(300)
def test_every_real_cell_is_read_back_from_the_run(real: Cells, tmp_path: Path) -> None:
    write(real, tmp_path / "out")
    found = images_in(tmp_path / "out")
    assert len(found.cells) == 3417
    assert all(
        np.array_equal(np.concatenate([cell.counts, cell.auxiliary]), real.images[int(cell.label.cell_id)])
        for cell in found.cells
    )
