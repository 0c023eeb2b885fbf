"""Day one without internet: what docs/install.md tells an administrator is what the Makefile and the wheel do."""

import email
import os
import re
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
MAKEFILE = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
GUIDE = (CHECKOUT / "docs" / "install.md").read_text(encoding="utf-8")
MADE_UP = ("made_up-1.0-py3-none-any.whl", "another_one-2026.1.post1-1-py3-none-any.whl")


def told(word: str) -> list[str]:
    """The commands of the guide in which `word` stands."""
    blocks = re.findall(r"^```sh\n(.*?)^```", GUIDE, flags=re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines() if word in shlex.split(line)]


def told_extras() -> dict[str, set[str]]:
    """The table of the guide's first step: what each extra asks for."""
    rows = re.findall(r"^\| `([a-z-]+)` \| (`[^|]+`) \|", GUIDE, flags=re.MULTILINE)
    return {extra: set(re.findall(r"`([^`]+)`", asks)) for extra, asks in rows}


def do(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run it with no settings of pip or make but the command's own."""
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "PIP_CONFIG_FILE": os.devnull, "LC_ALL": "C"}
    return subprocess.run(command, cwd=folder, env=env, check=False, capture_output=True, text=True)


def install(wheelhouse: Path, into: Path) -> subprocess.CompletedProcess[str]:
    """The guide's own `pip install`, with this Python's pip, into a folder."""
    (line,) = told("install")
    return do([sys.executable, "-m", "pip", *shlex.split(line)[1:], "--target", str(into)], wheelhouse)


def check_sums(wheelhouse: Path) -> subprocess.CompletedProcess[str]:
    (line,) = told("--check")
    return do(shlex.split(line), wheelhouse)


def write_wheel(path: Path) -> None:
    name, version = path.name.split("-")[:2]
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", "here = True\n" * 100)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


@pytest.fixture
def wheelhouse(tmp_path: Path) -> Path:
    """Two made-up wheels with the hashes that the Makefile writes."""
    folder = tmp_path / "wheelhouse"
    folder.mkdir()
    for name in MADE_UP:
        write_wheel(folder / name)
    command = ["make", "-s", "-C", str(CHECKOUT), "wheelhouse-hashes", f"WHEELHOUSE={folder}"]
    done = do([*command, f"PYTHON={sys.executable}"], tmp_path)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """What each extra of the built wheel asks for, by the wheel's METADATA."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(path))
    extras: dict[str, set[str]] = {extra: set() for extra in metadata.get_all("Provides-Extra", [])}
    for requirement, extra in conditional(metadata.get_all("Requires-Dist", [])):
        extras[extra].add(requirement)
    return extras


def conditional(requirements: list[str]) -> Iterator[tuple[str, str]]:
    for line in requirements:
        if found := re.fullmatch(r"(\S+); extra == '([a-z-]+)'", line.replace('"', "'")):
            yield found[1], found[2]


def test_the_wheel_asks_for_exactly_what_the_guide_tells_of_each_extra(asked: dict[str, set[str]]) -> None:
    assert set(told_extras()) == {"tensorrt", "tensorrt-rtx"}
    assert {extra: asked[extra] for extra in told_extras()} == told_extras()


def test_the_rtx_extra_installs_where_nothing_can_be_compiled(asked: dict[str, set[str]]) -> None:
    assert not any(requirement.startswith("pycuda") for requirement in asked["tensorrt-rtx"])


def test_the_makefile_compiles_the_pycuda_that_the_extra_asks_for(asked: dict[str, set[str]]) -> None:
    assert set(re.findall(r"'(pycuda\S*)'", MAKEFILE)) == {r for r in asked["tensorrt"] if r.startswith("pycuda")}


def test_the_guide_names_targets_and_extras_that_exist_and_the_one_taken_by_default() -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, flags=re.MULTILINE))
    assert set(re.findall(r"(?:^|`|FOLDER )make ([a-z-]+)", GUIDE, flags=re.MULTILINE)) <= targets
    assert set(re.findall(r"EXTRA=([a-z-]+)", GUIDE)) <= set(told_extras())
    default = re.findall(r"^EXTRA := (\S+)$", MAKEFILE, flags=re.MULTILINE)
    assert default == re.findall(r"`([a-z-]+)` is what `make wheelhouse` takes where nothing else is said", GUIDE)


def test_the_guide_and_the_make_target_that_tries_it_install_with_the_same_words() -> None:
    (installing,), (checking,) = told("install"), told("--check")
    assert {"--no-index", "--find-links", "--require-hashes"} <= set(installing.split())
    recipe = MAKEFILE.split("\nwheelhouse-check:")[1].split("\n\n")[0]
    recipe = recipe.replace("--quiet --disable-pip-version-check ", "")
    assert installing.split("/bin/")[1] in recipe
    assert checking in recipe


def test_the_readme_leads_to_the_guide() -> None:
    assert "docs/install.md" in (CHECKOUT / "README.md").read_text(encoding="utf-8")


def test_what_make_hashes_is_found_whole_and_installed_without_an_index(wheelhouse: Path, tmp_path: Path) -> None:
    checked = check_sums(wheelhouse)
    assert (checked.returncode, checked.stdout) == (0, "")
    installed = install(wheelhouse, tmp_path / "site")
    assert installed.returncode == 0, installed.stderr
    assert {path.name for path in (tmp_path / "site").glob("*.py")} == {"made_up.py", "another_one.py"}


def test_every_file_of_the_folder_is_hashed_and_the_requirements_say_what_they_are_for(wheelhouse: Path) -> None:
    sums = (wheelhouse / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    assert {line.split()[1] for line in sums} == {path.name for path in wheelhouse.iterdir()} - {"SHA256SUMS"}
    python = "{}.{}".format(*sys.version_info[:2])
    first, second, *pins = (wheelhouse / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert first == f"# edge-ctc[tensorrt-rtx] for Python {python}"
    assert second.startswith(f"# on Linux {os.uname().machine} with glibc ")
    assert {pin.split(" --hash=sha256:")[0] for pin in pins} == {"made_up==1.0", "another_one==2026.1.post1"}


def test_a_second_hashing_gives_the_same_files(wheelhouse: Path, tmp_path: Path) -> None:
    before = (wheelhouse / "requirements.txt").read_bytes()
    command = ["make", "-s", "-C", str(CHECKOUT), "wheelhouse-hashes", f"WHEELHOUSE={wheelhouse}"]
    assert do([*command, f"PYTHON={sys.executable}"], tmp_path).returncode == 0
    assert (wheelhouse / "requirements.txt").read_bytes() == before


def test_a_spoilt_wheel_is_named_by_sha256sum_and_refused_by_pip(wheelhouse: Path, tmp_path: Path) -> None:
    spoilt = wheelhouse / MADE_UP[0]
    content = bytearray(spoilt.read_bytes())
    content[60] ^= 1
    spoilt.write_bytes(content)
    checked = check_sums(wheelhouse)
    assert checked.returncode == 1
    assert f"{spoilt.name}: FAILED" in checked.stdout
    installed = install(wheelhouse, tmp_path / "site")
    assert installed.returncode == 1
    assert "DO NOT MATCH THE HASHES" in installed.stderr
    assert not list(tmp_path.glob("site/*.py"))


def test_a_wheel_left_behind_is_missed_by_sha256sum_and_pip(wheelhouse: Path, tmp_path: Path) -> None:
    (wheelhouse / MADE_UP[0]).unlink()
    assert check_sums(wheelhouse).returncode == 1
    installed = install(wheelhouse, tmp_path / "site")
    assert "No matching distribution found for made_up" in installed.stderr.replace("made-up", "made_up")


def test_a_spoilt_list_of_requirements_is_named(wheelhouse: Path) -> None:
    path = wheelhouse / "requirements.txt"
    path.write_text(path.read_text(encoding="utf-8") + "one-more\n", encoding="utf-8")
    assert "requirements.txt: FAILED" in check_sums(wheelhouse).stdout
