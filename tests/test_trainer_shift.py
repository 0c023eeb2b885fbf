"""The trial of instruments: its table, and that nothing of another experiment gets into it."""

from pathlib import Path

import pytest
import torch

from edge_ctc.errors import ResultsError
from trainer.learning.model import seeded_model
from trainer.recipe import Recipe
from trainer.trials import shift as trial
from trainer.trials.shift import Arm, Sizes, markdown, precisions

SIZES = Sizes(train=2, test=1, cells=20, ctcs=5, epochs=1, seeds=1)


class Listener:
    """A `Reporter` that hears nothing."""

    def say(self, text: str) -> None:
        """Say nothing."""

    def advanced(self, what: str, done: int, total: int, note: str = "") -> None:
        """Show nothing."""


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """Weights of torchvision's width and names, without the last stage."""
    drawn = Recipe(schema_version=1, name="drawn", epochs=1, width=64, layer4=False)
    path = tmp_path / "start.pt"
    torch.save(seeded_model(3, drawn).state_dict(), path)
    return path


def test_an_arm_is_scored_on_every_instrument_and_kept(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "ELSEWHERE", (201,))
    monkeypatch.setattr(trial, "_PLACES", (trial.HOME, 201))
    out, arm = tmp_path / "out", Arm("frozen", is_augmented=True, seed=0)
    trial._refuse_other_patients(out, SIZES)
    trial._simulate(out, SIZES, Listener())
    found = precisions(arm, start, SIZES, out)
    assert len(found) == 2
    assert all(0.25 / 5 <= one <= 1 for one in found)
    assert [path.name for path in (out / "parts").iterdir()] == ["frozen-1-0.json"]
    # Kept: nothing is read again.
    (out / "runs").rename(tmp_path / "elsewhere")
    assert precisions(arm, start, SIZES, out) == found
    weights = torch.load(start, weights_only=True)
    torch.save(weights | {"conv1.weight": weights["conv1.weight"] + 1}, start)
    with pytest.raises(ResultsError, match=r"frozen-1-0\.json: of another experiment; name another --out"):
        precisions(arm, start, SIZES, out)


def test_patients_of_other_numbers_are_refused_since_their_seeds_would_meet(tmp_path: Path) -> None:
    trial._refuse_other_patients(tmp_path, SIZES)
    trial._refuse_other_patients(tmp_path, Sizes(2, 1, 20, 5, epochs=9, seeds=3))
    with pytest.raises(ResultsError, match="begun with other numbers of patients or cells; name another --out"):
        trial._refuse_other_patients(tmp_path, Sizes(3, 1, 20, 5, epochs=1, seeds=1))


def test_the_arms_differ_in_norm_and_augmentation_alone(start: Path) -> None:
    recipes = [Arm(norm, on, 0).recipe(start, 1) for norm in trial.NORMS for on in (False, True)]
    assert len({recipe.model_dump_json() for recipe in recipes}) == 6
    assert len({recipe.model_dump_json(exclude={"norm", "augmentation"}) for recipe in recipes}) == 1
    for plain in recipes[::2]:
        assert not any(value not in ("none", 0) for value in plain.augmentation.model_dump().values())


def test_the_table_tells_what_the_other_instruments_cost() -> None:
    table = markdown({"group, augmented": [[0.9, 0.5, 0.7], [0.8, 0.6, 0.6]]})
    row = table.splitlines()[-1]
    assert row == "| group, augmented | 0.850 (0.800 to 0.900) | 0.600 (0.500 to 0.700) | -0.250 |"
