"""The checks of the inference loop on PyCUDA alone, on the driver library that needs no GPU."""

import gc
import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.gpu.bench import CHECKOUT, python
from tests.gpu.cuda_loop import CopyingPlan, check_answers, check_pinned, check_refusals, opened
from tests.stand_ins import FakeCuda, build, load_pycuda


@pytest.fixture
def plan() -> Iterator[CopyingPlan]:
    fake: FakeCuda = load_pycuda()
    fake.reset()
    yield CopyingPlan()
    gc.collect()
    assert (fake.allocated(), fake.streams(), fake.pushed()) == (0, 0, 0)
    fake.reset()


def test_all_checks_pass_in_a_process_that_ends_by_itself() -> None:
    command = python("-m", "tests.gpu.cuda_loop")
    ended = subprocess.run(
        command, cwd=CHECKOUT, env=build().environment(), capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads(ended.stdout)["inferences"] == 128


def test_a_logit_that_is_another_pixel_is_found(plan: CopyingPlan) -> None:
    with opened(plan) as engine:
        check_answers(engine)
        plan.context.pixel = 1
        with pytest.raises(ValueError, match="came back changed"):
            check_answers(engine)


def test_a_loop_that_gives_an_answer_where_none_is_due_is_found(
    plan: CopyingPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(plan) as engine:
        check_refusals(engine, plan)
        monkeypatch.setattr("edge_ctc.engine.cuda.DeviceArray.fill_with_nan", lambda *_: None)
        with pytest.raises(ValueError, match="an answer where a refusal was due"):
            check_refusals(engine, plan)


def test_a_buffer_that_is_not_pinned_is_found(plan: CopyingPlan) -> None:
    with opened(plan) as engine:
        check_pinned(engine)
        engine.inputs = (engine.inputs[0], engine.inputs[1].copy())
        with pytest.raises(ValueError, match="not pinned"):
            check_pinned(engine)
