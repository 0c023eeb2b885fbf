"""The TOML of a table: which recipes are compared, on how many folds and seeds, against which baseline."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from edge_ctc.errors import ConfigError
from edge_ctc.toml_file import StrictModel, did_you_mean, read_toml, unknown_key
from trainer.cells.folds import Folds, Sample
from trainer.recipe import Recipe, load_recipe

GIVEN_START = "given"
"""`start` of an arm whose weights lie outside the project: `--start` says where."""

_SAYS_NOTHING = {"name", "notice", "seed"}


class SampleTable(StrictModel):
    """How many cells of each class are learned from.

    Attributes:
        ctcs: of the one class.
        leukocytes: of the other.
    """

    ctcs: Annotated[int, Field(ge=1)]
    leukocytes: Annotated[int, Field(ge=1)]


class ArmTable(StrictModel):
    """One arm as the file says it.

    Attributes:
        name: of the arm and of its folder.
        recipe: what differs from the table's recipe, laid out as a recipe; `start = "given"` takes `--start`.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9+][A-Za-z0-9+_-]{0,63}$")]
    recipe: dict[str, Any] = Field(default_factory=dict)


class TableFile(StrictModel):
    """A table as its TOML file says it.

    Attributes:
        name: stands above the written table.
        recipe: file that all arms rest on, beside this one.
        folds: parts of the patients, each held out once.
        seeds: repetitions.
        sample: learn from so many cells only; None: from all.
        baseline: the arm that all others are held against.
        arms: in the order of the written table; each is held against the one before, too.
    """

    schema_version: Literal[1]
    name: Annotated[str, Field(min_length=1)]
    recipe: Annotated[str, Field(min_length=1)]
    folds: Annotated[int, Field(ge=2)]
    seeds: Annotated[int, Field(ge=1)]
    sample: SampleTable | None = None
    baseline: str
    arms: Annotated[tuple[ArmTable, ...], Field(min_length=2)]

    @model_validator(mode="after")
    def _arms_fit(self) -> Self:
        names = [arm.name for arm in self.arms]
        # Names are folders, and some file systems know no case.
        if twice := [name for name, count in Counter(name.casefold() for name in names).items() if count > 1]:
            raise ValueError(f"arms {twice} are named twice; each has a folder of its own, name it once")
        if self.baseline not in names:
            raise ValueError(f"baseline {self.baseline!r}: no such arm{did_you_mean(self.baseline, names)}")
        return self


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm: its name and its whole recipe."""

    name: str
    recipe: Recipe


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose recipes are whole.

    Attributes:
        name: stands above the written table.
        folds: how each arm is cross-validated.
        baseline: name of the arm that all others are held against.
        arms: two or more, in order, no two alike.
    """

    name: str
    folds: Folds
    baseline: str
    arms: tuple[Arm, ...]


def load_table(path: Path, start: Path | None = None) -> Table:
    """The table in `path`, with the recipe that lies beside it.

    Args:
        path: of the TOML file.
        start: weights for the arms that say `start = "given"`.

    Raises:
        ConfigError: file, recipe or an arm is not valid, a misspelt key named with the nearest known one; two arms
            are the same recipe; or `start` is wanted and not given, or given and not wanted.
    """
    file = read_toml(path, TableFile)
    base = load_recipe(path.parent / file.recipe)
    arms = tuple(Arm(one.name, _recipe(base, one, path)) for one in file.arms)
    _check_start([arm.name for arm in arms if arm.recipe.start == GIVEN_START], start, path)
    if start is not None:
        arms = tuple(_started(arm, start) for arm in arms)
    _check_distinct(arms, path)
    sample = None if file.sample is None else Sample(file.sample.ctcs, file.sample.leukocytes)
    return Table(file.name, Folds(file.folds, file.seeds, sample), file.baseline, arms)


def _recipe(base: Recipe, arm: ArmTable, path: Path) -> Recipe:
    try:
        return Recipe.model_validate(_merged(base.model_dump(), arm.recipe))
    except ValidationError as error:
        faults = "; ".join(_fault(fault) for fault in error.errors())
        raise ConfigError(f"{path}: arm {arm.name}: {faults}") from error


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` where it speaks, `under` elsewhere; tables within are merged the same way."""
    both = {
        key: _merged(under[key], value) if isinstance(value, dict) and isinstance(under.get(key), dict) else value
        for key, value in over.items()
    }
    return {**under, **both}


def _fault(fault: Any) -> str:
    where = ".".join(str(part) for part in fault["loc"]) or "recipe"
    if fault["type"] == "extra_forbidden":
        return f"{where}: {unknown_key(Recipe, fault['loc'], 'arms.recipe')}"
    return f"{where}: {fault['msg'].removeprefix('Value error, ')}"


def _check_start(wanting: list[str], start: Path | None, path: Path) -> None:
    if wanting and start is None:
        raise ConfigError(f'{path}: arms {wanting} have start "{GIVEN_START}"; name the weights with --start FILE')
    if start is not None and not wanting:
        raise ConfigError(f'{path}: no arm has start "{GIVEN_START}"; leave out --start')
    if start is not None and not start.is_file():
        raise ConfigError(f"{start}: no such file; name a state-dict file with --start")


def _started(arm: Arm, start: Path) -> Arm:
    given = arm.recipe.start == GIVEN_START
    return Arm(arm.name, arm.recipe.model_copy(update={"start": str(start)})) if given else arm


def _check_distinct(arms: tuple[Arm, ...], path: Path) -> None:
    said = {arm.name: arm.recipe.model_dump(exclude=_SAYS_NOTHING) for arm in arms}
    if same := [pair for pair in combinations(said, 2) if said[pair[0]] == said[pair[1]]]:
        raise ConfigError(f"{path}: arms {list(same[0])} are one recipe; take one of the two out")
