"""The event engine beside TorchScript on random networks, built with AddressSanitizer and UBSan: `make fuzz`.

Each library that this processor can run gets the same share of the time; the first difference or bad access ends it.
"""

import argparse
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer", "-g", "-O2"]
COMPILER = os.environ.get("CXX") or sysconfig.get_config_var("CXX").split()[0]


def build(folder: Path) -> list[Path]:
    """Build every library of the engine with the sanitizers; those that this processor can run, best first."""
    from event_engine.library import built_libraries  # without torch, in this process that only starts others

    runnable = [path.name.partition(".")[0] for path in built_libraries()]
    modules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"]
    paths = []
    for module in modules:
        name = module["name"].rpartition(".")[2]
        if name in runnable:
            paths.append(folder / f"{name}.so")
            sources = [str(ROOT / source) for source in module["sources"]]
            options = [*module["extra-compile-args"], *SANITIZERS, "-shared", "-fPIC", "-o", str(paths[-1])]
            subprocess.run([COMPILER, *sources, *options], check=True, stderr=subprocess.DEVNULL)
    return sorted(paths, reverse=True)


def run(library: Path, seconds: float, first: int) -> int:
    """Compare the library with TorchScript on one random network after another; how many it ran."""
    import torch

    from event_engine.errors import Unsuitable
    from event_engine.library import Library
    from tests.event_engine.differential import differences, random_case

    torch.set_num_threads(1)
    ends, seed, refused = time.monotonic() + seconds, first, 0
    while time.monotonic() < ends:
        case = random_case(seed)
        try:
            if found := list(differences(case, seed, Library(library))):
                sys.exit("\n".join([f"seed {seed}, {library.name}:", *found]))
        except Unsuitable as error:
            refused += 1
            print(f"seed {seed} is refused: {error}", flush=True)
        seed += 1
    print(f"{library.name}: {seed - first} networks from seed {first} on, {refused} refused, no difference", flush=True)
    return seed - first


def main() -> None:
    """Build the libraries and run each in a process that has the sanitizers loaded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="for all libraries together (default: %(default)s)")
    parser.add_argument("--first", type=int, default=1000, help="the first seed (default: %(default)s)")
    parser.add_argument("--library", type=Path, help="run this library alone, in this process")
    options = parser.parse_args()
    if options.library:
        run(options.library, options.seconds, options.first)
        return
    with tempfile.TemporaryDirectory() as folder:
        libraries = build(Path(folder))
        if not libraries:
            sys.exit("the event engine was not built, so there is nothing to fuzz")
        runtime = subprocess.check_output([COMPILER, "-print-file-name=libasan.so"], text=True).strip()
        environment = os.environ | {"LD_PRELOAD": runtime, "ASAN_OPTIONS": "detect_leaks=0"}
        for library in libraries:
            command = [sys.executable, "-m", "tests.fuzz.event_engine", "--library", str(library)]
            shares = ["--seconds", str(options.seconds / len(libraries)), "--first", str(options.first)]
            subprocess.run([*command, *shares], check=True, env=environment, cwd=ROOT)


if __name__ == "__main__":
    main()
