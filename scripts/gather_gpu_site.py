#!/usr/bin/env python3
"""Gather what `benchmarks.gpu_check` needs beside torch into one archive, for a machine without a network.

Usage, in the environment of the project: python scripts/gather_gpu_site.py [build/gpu-site.zip] [--there NAME ...]
    [--nequix VENV]
There: python3 -m zipfile -e build/gpu-site.zip /tmp/site && export PYTHONPATH=/tmp/site

The packages are those installed here, so versions are those that the tests ran with, and the archive is for the same
version of Python and the same processor. Left out are tests, headers, command line tools, the libraries that
metatensor and metatomic bring for other versions of torch, and subpackages of SciPy that nothing here imports. torch
itself, and what torch needs, have to be there. ``--nequix`` adds what evaluates Nequix with torch, for
`benchmarks.gpu_train`.
"""

from __future__ import annotations

import argparse
import platform
import re
import sys
import zipfile
from collections.abc import Collection
from importlib.metadata import Distribution, distribution, version
from pathlib import Path, PurePosixPath

LIMIT = 50 * 2**20  # bytes
PACKAGES = (
    # numbers, crystals, phonons
    "numpy", "scipy", "ase", "spglib", "moyopy", "phonopy", "phonors", "symfc", "seekpath", "pyyaml", "psutil",
    # PET: metatrain's model, and what its loading imports
    "metatrain", "metatomic-torch", "metatomic-ase", "metatensor-core", "metatensor-torch", "metatensor-operations",
    "metatensor-learn", "ctypes-dlpack", "vesin", "wigners", "omegaconf", "python-hostlist", "tqdm",
    # parameters
    "pydantic", "pydantic-core", "annotated-types", "typing-inspection", "typing-extensions",
    # metatrain imports the client of the model hub, which is never called
    "huggingface-hub", "httpx", "httpcore", "h11", "anyio", "idna", "certifi", "packaging",
    # the peer; without PyTables and warp, which it needs for trajectories and for neighbour lists of its own
    "metatomic-torchsim", "torch-sim-atomistic", "h5py",
)  # fmt: skip
NEQUIX = ("nequix/torch_impl", "e3nn", "opt_einsum_fx", "opt_einsum")
_LEFT_OUT = re.compile(
    r"(^|/)(tests?|__pycache__|include|benchmarks|docs|gui)/"
    r"|^\.\.|\.(pyi|pyx|pxd|h|hpp|c|cpp|f90|a|lib|js|html)$"
    r"|^scipy/(stats|signal|ndimage|io|cluster|datasets|odr|misc|differentiate)/"
    r"|^ase/(gui|cli)/"
)


def is_wanted(name: str, torch: str) -> bool:
    """Return whether a file goes into the archive.

    :param name: relative to the folder of packages.
    :param torch: version of the libraries that are kept, ``torch-2.11``.
    """
    built_for = re.search(r"(^|/)(torch-\d+\.\d+)/", name)
    return not _LEFT_OUT.search(name) and (built_for is None or built_for[2] == torch)


def files_of(package: Distribution, torch: str) -> list[tuple[str, Path]]:
    """Return name in the archive and path of the wanted files of ``package``.

    :raises FileNotFoundError: if the package does not say what belongs to it.
    """
    if package.files is None:
        raise FileNotFoundError(f"{package.name} does not list its files: install it with pip or uv")
    found = [(PurePosixPath(file).as_posix(), Path(str(file.locate()))) for file in package.files]
    return [(name, path) for name, path in found if is_wanted(name, torch) and path.is_file()]


def gather(out: Path, there: Collection[str] = (), nequix: Path | None = None) -> int:
    """Write the archive ``out``, print what the packages take in it, and return its size in bytes.

    :param there: packages to leave out, since the machine has them.
    :param nequix: environment that holds Nequix.
    """
    torch = "torch-" + ".".join(version("torch").split(".")[:2])
    out.parent.mkdir(parents=True, exist_ok=True)
    sizes: dict[str, int] = {}
    with zipfile.ZipFile(out, "w", zipfile.ZIP_LZMA) as archive:
        for name in (name for name in PACKAGES if name not in there):
            package = distribution(name)
            before = out.stat().st_size
            for inside, path in files_of(package, torch):
                archive.write(path, inside)
            archive.fp.flush()  # type: ignore[union-attr]
            sizes[f"{name} {package.version}"] = out.stat().st_size - before
        if nequix is not None:
            _add_nequix(archive, nequix)
    for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
        print(f"{size / 2**20:6.2f} MiB  {name}")
    return out.stat().st_size


def _add_nequix(archive: zipfile.ZipFile, venv: Path) -> None:
    """Add the torch part of Nequix, without the imports of its package, and what that part needs."""
    (site,) = venv.glob("lib/python3*/site-packages")
    for name in NEQUIX:
        for path in sorted((site / name).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                archive.write(path, path.relative_to(site))
    archive.writestr("nequix/__init__.py", "")


def main() -> int:
    """Gather, and return 1 if the archive is too large to travel."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, nargs="?", default=Path("build/gpu-site.zip"))
    parser.add_argument("--there", nargs="*", default=[], metavar="NAME", choices=PACKAGES)
    parser.add_argument("--nequix", type=Path, metavar="VENV")
    arguments = parser.parse_args()
    out = arguments.out
    size = gather(out, arguments.there, arguments.nequix)
    python = f"Python {platform.python_version()} on {platform.machine()}, torch {version('torch')}"
    print(f"{size / 2**20:6.2f} MiB of at most {LIMIT / 2**20:.0f} in {out}, for {python}")
    return int(size > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
