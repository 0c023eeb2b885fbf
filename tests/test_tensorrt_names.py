"""Every name of TensorRT that the product uses, looked up in NVIDIA's own bindings of each version that it runs on."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_ctc.engine import bindings as bindings_module
from edge_ctc.engine import compiler, gpu_engine, tensorrt_plan
from tests.stand_ins import build

MODULES = (bindings_module, compiler, tensorrt_plan, gpu_engine)
"""All that talk to TensorRT."""

CLASSES = {
    "trt": "",
    "_trt": "",
    "_builder": "Builder",
    "_network": "INetworkDefinition",
    "network": "INetworkDefinition",
    "_parser": "OnnxParser",
    "_config": "IBuilderConfig",
    "config": "IRuntimeConfig",
    "profile": "IOptimizationProfile",
    "cache": "ITimingCache",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
}
"""What the product's variables are in the bindings."""

ONLY_RTX = {
    "ComputeCapability",
    "DynamicShapesKernelSpecializationStrategy",
    "IBuilderConfig.num_compute_capabilities",
    "IBuilderConfig.set_compute_capability",
    "IRuntimeConfig.dynamic_shapes_kernel_specialization_strategy",
}
"""Used for TensorRT for RTX alone."""

PASSED_ON = {"made": 1, "_keep": 1}
"""Functions of ours that are handed what they call, with its arguments behind it, at this place."""

LOOK_UP = """
import json, sys
trt = __import__(sys.argv[1])
found = {"": trt.__version__}
for name in json.loads(sys.argv[2]):
    thing = trt
    for part in name.split("."):
        thing = getattr(thing, part, None)
    if isinstance(thing, type) and getattr(thing.__init__, "__doc__", None):
        thing = thing.__init__
    found[name] = None if thing is None else str(getattr(thing, "__doc__", "") or "")
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Use:
    """A name with, where it is called, how."""

    name: str
    positional: int | None
    keywords: tuple[str, ...]


def used_names() -> list[Use]:
    """All uses in the modules that talk to TensorRT."""
    uses = [use for module in MODULES for use in _uses(ast.parse(Path(str(module.__file__)).read_text()))]
    return list({(use.name, use.positional): use for use in uses}.values())


def _uses(tree: ast.Module) -> Iterator[Use]:
    called = {id(node.func): (node.args, node.keywords) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        place = PASSED_ON.get(_called(node)) if isinstance(node, ast.Call) else None
        if isinstance(node, ast.Call) and place is not None:
            called[id(node.args[place])] = (node.args[place + 1 :], node.keywords)
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or id(node) in inner or (name := _name(node)) is None:
            continue
        if id(node) not in called:
            yield Use(name, None, ())
            continue
        args, keywords = called[id(node)]
        # A class's own method is handed `self`, which a bound one is not; what is starred is one that may lack.
        given = len(args) - name.endswith(".__init__")
        yield Use(name, given, tuple(str(word.arg) for word in keywords))


def _called(node: ast.Call) -> str:
    """The last part of the name of what is called."""
    func = node.func
    return func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""


def _name(node: ast.Attribute) -> str | None:
    parts = [node.attr]
    base = node.value
    while isinstance(base, ast.Attribute) and base.attr not in CLASSES:
        parts.insert(0, base.attr)
        base = base.value
    owner = base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else ""
    if owner not in CLASSES or parts == ["__version__"] or parts[0] in ("logger", "handle"):
        return None
    return ".".join([CLASSES[owner], *parts]).lstrip(".")


def test_the_uses_are_found() -> None:
    names = {use.name for use in used_names()}
    assert {
        "Builder",
        "Builder.build_serialized_network",
        "BuilderFlag.TF32",
        "ICudaEngine.get_tensor_profile_shape",
        "IExecutionContext.execute_async_v3",
        "ILogger.Severity.INTERNAL_ERROR",
        "INetworkDefinition.num_outputs",
        "IProgressMonitor",
        "NetworkDefinitionCreationFlag.STRONGLY_TYPED",
        "OnnxParser.parse",
        "Runtime.deserialize_cuda_engine",
    } <= names
    assert len(names) > 30


@pytest.mark.parametrize("bindings", ["tensorrt 10", "tensorrt 11", "tensorrt_rtx"])
def test_every_name_and_signature_that_is_used_is_there(bindings: str) -> None:
    package, _, major = bindings.partition(" ")
    uses = [use for use in used_names() if not major or use.name not in ONLY_RTX]
    ended = subprocess.run(
        [sys.executable, "-c", LOOK_UP, package, json.dumps([use.name for use in uses])],
        env=build().environment(int(major)) if major else None,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    found = json.loads(ended.stdout)
    assert found[""].startswith(major or "1.")
    assert [use.name for use in uses if found[use.name] is None] == []
    assert [fault for use in uses if (fault := _misfit(use, found[use.name]))] == []
    assert sum(use.positional is not None for use in uses) > 20


def test_what_is_said_to_be_for_rtx_alone_is_used() -> None:
    assert {use.name for use in used_names()} >= ONLY_RTX


def _misfit(use: Use, doc: str) -> str:
    """What is wrong with a call, by the signatures in the first lines of a docstring of pybind11's."""
    if use.positional is None:
        return ""
    signatures = re.findall(r"^(?:\d+\. )?\w+\((self: .*)\) ->", doc, re.MULTILINE)
    if any(_fits(use, signature) for signature in signatures):
        return ""
    return f"{use} does not fit {signatures}"


def _fits(use: Use, signature: str) -> bool:
    flat = re.sub(r"\[[^\[\]]*\]", "", re.sub(r"\[[^\[\]]*\]", "", signature))
    parameters = [one.strip() for one in flat.split(", ")][1:]
    names = [one.partition(":")[0] for one in parameters]
    needed = sum("=" not in one for one in parameters)
    given = (use.positional or 0) + len(use.keywords)
    return needed <= given <= len(parameters) and set(use.keywords) <= set(names)


def test_a_call_that_does_not_fit_is_noticed() -> None:
    doc = (
        "set_timing_cache(self: tensorrt.IBuilderConfig, cache: tensorrt.ITimingCache, ignore_mismatch: bool) -> bool\n"
    )
    assert _misfit(Use("IBuilderConfig.set_timing_cache", 1, ("ignore_mismatch",)), doc) == ""
    assert _misfit(Use("IBuilderConfig.set_timing_cache", 1, ()), doc)
    assert _misfit(Use("IBuilderConfig.set_timing_cache", 1, ("mismatch",)), doc)
    assert _misfit(Use("IBuilderConfig.set_timing_cache", 3, ()), doc)
