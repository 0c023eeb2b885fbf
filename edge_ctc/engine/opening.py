"""A checkpoint's graph to a plan, and a plan to an engine, on whichever runtime; loads the one that is asked for."""

from contextlib import AbstractContextManager

from edge_ctc.checkpoint import Checkpoint
from edge_ctc.engine.compiler import Advance, Compiled, Graph, Target, compile_graph
from edge_ctc.engine.gpu_engine import GpuEngine
from edge_ctc.engine.record import EngineRecord
from edge_ctc.engine.runtimes import Machine
from edge_ctc.engine.seam import Engine
from edge_ctc.engine.tensorrt_plan import TensorRtPlan


def compile_for(machine: Machine, graph: Graph, timing_cache: bytes | None, advance: Advance) -> Compiled:
    """As `edge_ctc.engine.compiler.compile_graph`; for ONNX Runtime the graph itself is the plan."""
    if machine.runtime == "onnxruntime":
        return Compiled(graph.content, None)
    target = Target(machine.runtime, machine.compute_capability)
    return compile_graph(target, graph, timing_cache, advance)


def open_on_cpu(checkpoint: Checkpoint) -> AbstractContextManager[Engine]:
    """ONNX Runtime on the CPU at fp32, straight from the checkpoint. Raises EngineError."""
    # Loading a runtime takes longer than finding that nothing is owed, and most calls find just that.
    from edge_ctc.engine.onnx_cpu import OnnxCpuEngine  # noqa: PLC0415

    return OnnxCpuEngine(checkpoint)


def open_plan(record: EngineRecord, plan: bytes, checkpoint: Checkpoint) -> AbstractContextManager[Engine]:
    """The engine of a plan; enter it to load it.

    Raises:
        UnavailableError: the runtime is not installed.
        EngineError: on entering, where runtime or GPU refuse the plan.
    """
    if record.runtime == "onnxruntime":
        from edge_ctc.engine.onnx_cpu import InstalledGraph, OnnxCpuEngine  # noqa: PLC0415

        return OnnxCpuEngine(checkpoint, record.precision, InstalledGraph(plan, record.max_batch, record.description))
    return GpuEngine(TensorRtPlan(record.runtime, plan, checkpoint.input.shape), record.precision, record.description)
