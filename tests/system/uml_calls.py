"""Inside the user-mode kernel: what each call says on a real mount, and what files do that appear whole."""

import contextlib
import errno
import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_ctc import durable
from edge_ctc.errors import ResultsError, ResultsHeldError
from tests.system.uml import MARK
from tests.system.uml_servers import Server, Smb, cable_in, cable_out, held_by_another_client, tool


def say(step: str, **figures: object) -> None:
    print(MARK + json.dumps({"step": step} | figures), flush=True)  # noqa: T201 - what the other kernel reads


def outcome(call: Callable[[], object]) -> dict[str, object]:
    """How a call ended, and after how many seconds."""
    started = time.monotonic()
    try:
        call()
        said = "done"
    except OSError as error:
        said = errno.errorcode.get(error.errno or 0, str(error))
    except ResultsHeldError:
        said = "held by another edge-ctc, and said so"
    except ResultsError as error:
        cause = error.__cause__
        said = errno.errorcode.get(cause.errno or 0, "?") if isinstance(cause, OSError) else str(error)
    return {"outcome": said, "seconds": round(time.monotonic() - started, 2)}


def calls_on(share: Path) -> dict[str, Callable[[], Any]]:
    """What the daemon and classify-run ask of a share."""
    calls = share / "old.csv"
    return {
        "statvfs": lambda: os.statvfs(share),
        "scandir": lambda: list(os.scandir(share)),
        "open_read": calls.read_bytes,
        "lock_folder": lambda: contextlib.ExitStack().enter_context(durable.sole_writer(share)),
        "write_whole": lambda: durable.write_bytes(share / "new.csv", b"new"),
    }


def writing(server: Server, share: Path) -> None:
    """Files that appear whole, while others hold them."""
    path = share / "old.csv"
    contents = [f"generation {n}\n".encode() * 5000 for n in range(60)]
    whole = {hashlib.sha256(content).digest() for content in contents}
    torn = looks = 0
    began = time.monotonic()
    for content in contents:
        durable.write_bytes(path, content)
        for _ in range(3):
            looks += 1
            torn += hashlib.sha256((server.folder / path.name).read_bytes()).digest() not in whole
    seconds = round((time.monotonic() - began) / len(contents), 3)
    say("results replaced 60 times", looks_of_the_server=looks, torn=torn, seconds_each=seconds)
    with durable.sole_writer(share):
        say("a second writer on this machine", **outcome(calls_on(share)["lock_folder"]))
    with path.open("rb") as reader:
        said = outcome(lambda: durable.write_bytes(path, b"second"))
        kept = hashlib.sha256(reader.read()).digest() in whole
    after = (server.folder / path.name).read_bytes()
    say(
        "results replaced while open on this machine",
        **said,
        reader_still_reads=kept,
        content_after_close=after.decode()[:12],
    )
    rename_over(server, share)
    if isinstance(server, Smb):
        for name, access in (("others may read", 1), ("nobody may", 0)):
            before = (server.folder / path.name).read_bytes()
            with held_by_another_client(path.name, access):
                said = outcome(lambda: durable.write_bytes(path, b"third"))
                stands = (server.folder / path.name).read_bytes() == before
                left = sorted(entry for entry in os.listdir(server.folder) if "tmp" in entry)
            again = outcome(lambda: durable.write_bytes(path, b"fourth"))
            say(f"results held by another client, {name}", **said, old_stands=stands, left=left, after_release=again)


def rename_over(server: Server, share: Path) -> None:
    """What we never do: put a file in the place of one that is open."""
    old, new = share / "over.csv", share / "fresh.csv"
    old.write_bytes(b"old")
    new.write_bytes(b"new")
    with old.open("rb"):
        said = outcome(lambda: new.replace(old))
    time.sleep(2)
    left = {name: (server.folder / name).exists() for name in ("over.csv", "fresh.csv")}
    say("for comparison: a rename over an open file", **said, the_name_is_still_there=left["over.csv"])


def outages(server: Server, share: Path) -> None:
    """What each call says while the server is dead, silent, and back."""
    durable.write_bytes(share / "old.csv", b"old")
    for name, take, give in (("dead", server.stop, server.start), ("cable out", cable_out, cable_in)):
        take()
        for call, ask in calls_on(share).items():
            say(f"{name}: {call}", **outcome(ask))
        give()
        began = time.monotonic()
        while outcome((share / "old.csv").read_bytes)["outcome"] != "done":
            time.sleep(0.1)
        say(f"{name}: back", seconds=round(time.monotonic() - began, 2), write=outcome(calls_on(share)["write_whole"]))


def unwritable(server: Server, share: Path) -> None:
    """Shares that may only be read: by the mount's option, by the server's."""
    durable.write_bytes(share / "old.csv", b"old")
    at = Path("/mnt/unwritable")
    server.mount(at, "ro")
    say("mounted ro", **{call: outcome(ask)["outcome"] for call, ask in calls_on(at).items()})
    tool("umount", at)
    if isinstance(server, Smb):
        server.mount(at, share="unwritable")
        say("the server lets read only", **{call: outcome(ask)["outcome"] for call, ask in calls_on(at).items()})
