"""The inference loop as it is shipped, on real PyCUDA, on a driver library whose device memory is host memory."""

import gc
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_ctc.checkpoint import Checkpoint, open_checkpoint
from edge_ctc.engine import cuda
from edge_ctc.engine.cuda import find_device
from edge_ctc.engine.gpu_engine import GpuEngine
from edge_ctc.engine.onnx_cpu import OnnxCpuEngine
from edge_ctc.errors import EngineError, UnavailableError
from edge_ctc.network import OUTPUT_NAMES
from edge_ctc.parity import replay
from tests.checkpoints import write_checkpoint
from tests.fake_plan import FakePlan, Results
from tests.stand_ins import FakeCuda, build, load_pycuda

LAUNCH_FAILED = 719
OUT_OF_MEMORY = 2


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(write_checkpoint(tmp_path_factory.mktemp("a") / "checkpoint", ("BF", "PE"), 8))


@pytest.fixture
def fake() -> Iterator[FakeCuda]:
    fake = load_pycuda()
    fake.reset()
    yield fake
    fake.reset()
    gc.collect()
    held = (fake.pushed(), fake.allocated(), fake.streams(), fake.races())
    assert held == (0, 0, 0, 0)
    assert fake.retained() <= 1


@pytest.fixture
def plan(fake: FakeCuda, checkpoint: Checkpoint) -> FakePlan:
    assert fake.allocated() == 0
    return FakePlan(checkpoint.models["fp32"], checkpoint.input.shape, features=2)


def opened(plan: FakePlan) -> GpuEngine:
    return GpuEngine(plan, "fp32", "fake gpu")


def some_cells(n: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((n, 2, 8, 8), np.float32)


def test_every_batch_gives_bit_for_bit_what_onnx_runtime_gives(plan: FakePlan, checkpoint: Checkpoint) -> None:
    with opened(plan) as engine, OnnxCpuEngine(checkpoint) as yardstick:
        for n in range(1, 65):
            for slot in (0, 1):
                cells = some_cells(n, seed=n + 100 * slot)
                engine.inputs[slot][:n] = yardstick.inputs[slot][:n] = cells
                found, expected = engine.infer(slot, n), yardstick.infer(slot, n)
                assert found.logits.tobytes() == expected.logits.tobytes()
                assert found.features.tobytes() == expected.features.tobytes()


def test_it_replays_the_reference_cells(plan: FakePlan, checkpoint: Checkpoint) -> None:
    with opened(plan) as engine:
        assert replay(engine, checkpoint).cells == 8


def test_both_slots_may_be_asked_at_once_from_threads_of_their_own(plan: FakePlan, checkpoint: Checkpoint) -> None:
    plan.context.slow_s = 0.005
    with opened(plan) as engine, OnnxCpuEngine(checkpoint) as yardstick, ThreadPoolExecutor(2) as pool:
        for seed in range(20):
            for slot in (0, 1):
                engine.inputs[slot][:] = yardstick.inputs[slot][:] = some_cells(64, seed + 100 * slot)
            both = list(pool.map(engine.infer, (0, 1), (64, 64)))
            for slot in (0, 1):
                assert both[slot].logits.tobytes() == yardstick.infer(slot, 64).logits.tobytes()


def test_scores_are_the_callers_own_copies(plan: FakePlan) -> None:
    with opened(plan) as engine:
        engine.inputs[0][:2] = some_cells(2)
        first = engine.infer(0, 2)
        kept = first.logits.copy(), first.features.copy()
        engine.inputs[0][:2] = 0
        engine.infer(0, 2)
    assert (first.logits == kept[0]).all()
    assert (first.features == kept[1]).all()


def test_all_memory_is_allocated_once_and_the_inputs_are_pinned(plan: FakePlan, fake: FakeCuda) -> None:
    with opened(plan) as engine:
        allocated = fake.allocated()
        assert (allocated, fake.calls("cuMemHostAlloc"), fake.calls("cuMemAlloc_v2")) == (7, 4, 3)
        for n in (1, 64, 7):
            engine.infer(0, n)
        assert fake.allocated() == allocated
        assert (fake.pushed(), fake.streams(), fake.retained()) == (0, 1, 1)


def test_copies_fills_and_the_inference_are_queued_on_one_stream_that_waits_for_no_other(
    plan: FakePlan, fake: FakeCuda
) -> None:
    with opened(plan) as engine:
        for n in (3, 64):
            engine.infer(0, n)
        assert len(set(plan.context.stream_handles)) == 1
        # One upload, two fills, two downloads for each.
        assert fake.queued(plan.context.stream_handles[0]) == 10
        calls = ("cuMemcpyHtoDAsync_v2", "cuMemsetD32Async", "cuMemcpyDtoHAsync_v2")
        assert [fake.calls(call) for call in calls] == [2, 4, 4]


def test_an_error_that_is_logged_while_the_gpu_is_waited_for_is_an_error(plan: FakePlan) -> None:
    def fail_later(results: Results) -> Results:
        plan.said_later = ["an illegal memory access was encountered"]
        return results

    plan.context.changes = fail_later
    with opened(plan) as engine, pytest.raises(EngineError, match="inference failed: an illegal memory access"):
        engine.infer(0, 2)


@pytest.mark.parametrize("n", [0, -1, 65])
def test_a_batch_that_it_was_not_built_for_is_refused(plan: FakePlan, n: int) -> None:
    with opened(plan) as engine, pytest.raises(EngineError, match=f"asked for {n} cells, opened for 1 to 64"):
        engine.infer(0, n)


def test_a_closed_engine_gives_nothing(plan: FakePlan) -> None:
    with opened(plan) as engine:
        pass
    assert plan.loaded == 0
    with pytest.raises(EngineError, match="asked for 1 cells"):
        engine.infer(0, 1)


@pytest.mark.parametrize("step", ["set_input_shape", "execute_async_v3"])
def test_a_step_that_says_false_is_an_error_with_the_words_of_the_logger(plan: FakePlan, step: str) -> None:
    with opened(plan) as engine:
        engine.infer(0, 2)
        plan.context.refuses = {step}
        with pytest.raises(EngineError, match=f"{step} failed: the runtime gave no reason"):
            engine.infer(0, 2)

        def complain(results: Results) -> Results:
            plan.said = ["myelin: no kernel", "second line"]
            return results

        plan.context.refuses, plan.context.changes = set(), complain
        with pytest.raises(EngineError, match="execute_async_v3 failed: myelin: no kernel; second line"):
            engine.infer(0, 2)


def test_an_address_that_is_refused_opens_no_engine(plan: FakePlan) -> None:
    plan.context.refuses = {"set_tensor_address"}
    with pytest.raises(EngineError, match="set_tensor_address of cells failed"), opened(plan):
        pass
    assert plan.loaded == 0


@pytest.mark.parametrize("unwritten", [*OUTPUT_NAMES, "both", "the last cell"])
def test_what_an_inference_left_unwritten_is_never_the_former_result(plan: FakePlan, unwritten: str) -> None:
    def forget(results: Results) -> Results:
        if unwritten == "the last cell":
            return {name: values[:-1] for name, values in results.items()}
        return {name: values for name, values in results.items() if unwritten not in (name, "both")}

    with opened(plan) as engine:
        engine.inputs[0][:5] = some_cells(5)
        engine.infer(0, 5)
        plan.context.changes = forget
        with pytest.raises(EngineError, match="left some of 5 cells without a value; nothing may be called"):
            engine.infer(0, 5)


@pytest.mark.parametrize("spoilt", [np.inf, -np.inf])
def test_an_output_that_is_not_finite_is_no_score(plan: FakePlan, spoilt: float) -> None:
    plan.context.changes = lambda results: results | {"logits": np.full_like(results["logits"], spoilt)}
    with opened(plan) as engine, pytest.raises(EngineError, match="not finite"):
        engine.infer(0, 2)


IN_A_BATCH = (
    "cuCtxPushCurrent_v2",
    "cuMemcpyHtoDAsync_v2",
    "cuMemsetD32Async",
    "cuMemcpyDtoHAsync_v2",
    "cuStreamSynchronize",
)


@pytest.mark.parametrize("call", IN_A_BATCH)
def test_a_gpu_that_fails_in_a_batch_is_an_engine_error_and_no_context_stays_pushed(
    plan: FakePlan, fake: FakeCuda, call: str
) -> None:
    with opened(plan) as engine:
        engine.infer(0, 2)
        fake.fail(call, LAUNCH_FAILED)
        with pytest.raises(EngineError, match="the GPU failed at inference"):
            engine.infer(0, 2)
        assert fake.pushed() == 0
    fake.reset()


@pytest.mark.parametrize(
    ("call", "after"),
    [
        *(("cuMemHostAlloc", after) for after in range(4)),
        *(("cuMemAlloc_v2", after) for after in range(3)),
        ("cuStreamCreate", 0),
    ],
)
def test_a_gpu_without_memory_opens_no_engine_and_holds_nothing(
    plan: FakePlan, fake: FakeCuda, call: str, after: int
) -> None:
    fake.fail(call, OUT_OF_MEMORY, after)
    with pytest.raises(EngineError, match="out of memory"), opened(plan):
        pass
    assert plan.loaded == 0
    assert fake.pushed() == 0


def test_a_gpu_that_gives_no_context_is_an_engine_error() -> None:
    ended = in_a_process_of_its_own(
        "from edge_ctc.engine.cuda import Gpu\n"
        "from edge_ctc.errors import EngineError\n"
        "from tests.stand_ins import load_pycuda\n"
        "load_pycuda().fail('cuDevicePrimaryCtxRetain', 2)\n"
        "try:\n    Gpu()\n"
        "except EngineError as error:\n    print(error)\n"
    )
    assert "the GPU failed at taking its context" in ended.stdout, ended.stderr


def test_a_plan_that_is_refused_leaves_nothing_behind(plan: FakePlan, fake: FakeCuda) -> None:
    plan.load_fails = True
    with pytest.raises(EngineError, match="refuses the plan"), opened(plan):
        pass
    assert fake.pushed() == 0


def test_the_device_is_described_as_the_driver_tells_it(
    fake: FakeCuda, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake.name("NVIDIA RTX 4000 Ada Generation")
    fake.compute_capability(8, 9)
    fake.driver_version(12080)
    fake.memory(20 << 30)
    (tmp_path / "version").write_text("580.65.06\n")
    monkeypatch.setattr(cuda, "_KERNEL_MODULE", tmp_path / "version")
    device = find_device()
    assert device.gpu_name == "NVIDIA RTX 4000 Ada Generation"
    assert (device.compute_capability, device.cuda_version) == ("8.9", "12.8")
    assert (device.driver_version, device.memory_bytes) == ("580.65.06", 20 << 30)


@pytest.mark.parametrize("call", ["cuDeviceGet", "cuDeviceGetName", "cuDeviceTotalMem_v2", "cuDriverGetVersion"])
def test_a_gpu_that_does_not_answer_is_not_available(fake: FakeCuda, call: str) -> None:
    fake.fail(call, LAUNCH_FAILED)
    with pytest.raises(UnavailableError, match="GPU"):
        find_device()


def test_a_driver_that_tells_no_version_has_none(fake: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fake.pushed() == 0
    monkeypatch.setattr(cuda, "_KERNEL_MODULE", Path("/nowhere/version"))
    assert find_device().driver_version is None


def in_a_process_of_its_own(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env=build().environment() | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


FIND = """
from edge_ctc.engine.cuda import find_device
from edge_ctc.errors import UnavailableError
try:
    print(find_device())
except UnavailableError as error:
    print("unavailable:", error)
"""


def test_a_machine_without_a_gpu_is_told_so() -> None:
    ended = in_a_process_of_its_own(FIND, FAKECUDA_DEVICES="0")
    assert "unavailable: no GPU" in ended.stdout, ended.stderr
    assert "nvidia-smi" in ended.stdout


def test_a_machine_without_a_driver_is_told_so() -> None:
    ended = in_a_process_of_its_own(FIND, LD_LIBRARY_PATH="")
    assert "unavailable: PyCUDA cannot be loaded (libcuda.so.1" in ended.stdout, ended.stderr


def test_a_machine_without_pycuda_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    with pytest.raises(UnavailableError, match="PyCUDA is not installed"):
        find_device()


def test_a_process_whose_inference_fails_ends_by_itself_and_is_not_aborted() -> None:
    ended = in_a_process_of_its_own(
        "from edge_ctc.engine.cuda import Gpu\ngpu = Gpu()\nwith gpu.current('a test'):\n    raise SystemExit(3)\n"
    )
    assert (ended.returncode, ended.stderr) == (3, "")
