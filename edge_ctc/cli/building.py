"""`edge-ctc build-engine` and `edge-ctc engine list | verify | rollback | remove`."""

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from edge_ctc import durable
from edge_ctc.build import Order, build_engine
from edge_ctc.checkpoint import open_checkpoint
from edge_ctc.cli.exits import ExitCode
from edge_ctc.cli.options import (
    ENGINES_VARIABLE,
    EnginesOption,
    ProfileOption,
    checkpoint_folder,
    engines_dir,
    named_folder,
)
from edge_ctc.console.building import (
    BuildLines,
    print_built,
    print_engines,
    print_removed,
    print_rolled_back,
    print_verified,
)
from edge_ctc.engine.installed import no_such_engine, rollback, uninstall
from edge_ctc.engine.places import default_engines_dir, engine_path, find_engines, former_of, kind_of
from edge_ctc.engine.runtimes import MAX_BATCH, Runtime, installed_gpu_runtime
from edge_ctc.engine_choice import verify_engine
from edge_ctc.errors import InputMissingError
from edge_ctc.exports.listing import absolute
from edge_ctc.exports.profile import load_profile
from edge_ctc.network import Precision

engine_commands = typer.Typer(no_args_is_help=True, help="The engines that were built on this machine.")


def build(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT",
            help="Folder that the trainer wrote; or reference, reference-bf: those that travel with the program.",
        ),
    ],
    runtime: Annotated[
        Runtime | None,
        typer.Option(
            help="tensorrt for any NVIDIA GPU; tensorrt-rtx for RTX workstations, compiles in seconds; onnxruntime for "
            "the CPU. Without it, tensorrt or tensorrt-rtx, whichever is installed."
        ),
    ] = None,
    precision: Annotated[Precision, typer.Option(help="Which of the checkpoint's graphs.")] = "fp32",
    max_batch: Annotated[int, typer.Option(min=1, max=1024, help="Cells per inference at most.")] = MAX_BATCH,
    check: Annotated[
        list[Path] | None,
        typer.Option(metavar="RUN", help="A run that the engine must call as ONNX Runtime does; may be given again."),
    ] = None,
    profile: ProfileOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="ENGINES_DIR",
            envvar=ENGINES_VARIABLE,
            help="Where to install it. Without it where `classify-run` looks: `engines` in the state folder.",
        ),
    ] = None,
) -> int:
    """Compile a checkpoint into an engine for this machine, prove it, and install it.

    The engine answers the checkpoint's reference cells, and the runs named with --check, beside ONNX Runtime at fp32.
    Where a logit is off by more than the checkpoint allows, or a verdict would change, nothing is installed (70). The
    engine that stood there before is kept. TensorRT for RTX compiles without a GPU too; such an engine is unproven,
    calls nothing, and ends with 2. Without the runtime, or without the GPU that it compiles for, ends with 69.

    Examples: edge-ctc build-engine checkpoints/ours --precision fp16 --check /data/exports/P07

    edge-ctc build-engine checkpoints/ours --runtime tensorrt-rtx
    """
    order = Order(
        checkpoint=open_checkpoint(checkpoint_folder(checkpoint)),
        runtime=runtime or installed_gpu_runtime(),
        precision=precision,
        max_batch=max_batch,
        engines_dir=absolute(named_folder(out, "--out") or default_engines_dir()),
        checks=tuple(dict.fromkeys(absolute(run) for run in check or ())),
        profile=None if profile is None else load_profile(profile),
        command=shlex.join(["edge-ctc", *sys.argv[1:]]),
    )
    with BuildLines() as reporter:
        built = build_engine(order, reporter)
    print_built(built)
    return ExitCode.PARTLY_DONE if built.no_device else ExitCode.DONE


EngineArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of an engine.")]
CheckpointOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Its checkpoint, where it was moved since the engine was built.")
]


@engine_commands.command("list")
def list_engines(engines: EnginesOption = None) -> None:
    """Show the engines that are installed."""
    folder = engines_dir(engines)
    print_engines(folder, find_engines(folder))


@engine_commands.command()
def verify(
    engine: EngineArgument,
    checkpoint: CheckpointOption = None,
) -> None:
    """Prove an engine once more: every byte, this machine, its answers to the reference cells.

    Ends with 0 where it is proved here; 65 where a file changed, which is named; 69 where it is whole, but there is no
    GPU, or another than it was built for; 70 where its answers are off.
    """
    print_verified(*verify_engine(engine, checkpoint))


@engine_commands.command("rollback")
def roll_back(engine: EngineArgument, checkpoint: CheckpointOption = None) -> None:
    """Bring back the engine that stood in DIR before, once it is verified; the present one is kept in its place.

    Where that is not proved here, it ends as `verify` does, and nothing is changed.
    """
    folder = engine_path(engine)
    if not os.path.isdir(former_of(folder)):
        raise InputMissingError(f"{former_of(folder)}: there is no former engine to go back to")
    print_verified(*verify_engine(former_of(folder), checkpoint))
    with durable.sole_writer(folder.parent):
        print_rolled_back(rollback(folder))


@engine_commands.command()
def remove(engine: EngineArgument) -> None:
    """Remove an engine and the one that stood there before."""
    folder = engine_path(engine)
    if kind_of(folder) is None or not (os.path.isdir(folder) or os.path.isdir(former_of(folder))):
        raise no_such_engine(folder)
    with durable.sole_writer(folder.parent):
        uninstall(folder)
    print_removed(folder)
