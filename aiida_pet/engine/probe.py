"""``pet-engine --probe``: what the machine has that a job would run on. Says what is missing instead of failing."""

from __future__ import annotations

import importlib.util
import os
import platform
import resource
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import aiida_pet

PACKAGES = ("torch", "metatrain", "metatomic-torch", "vesin", "numpy")


def probe() -> dict[str, Any]:
    """Return versions, cores and GPUs of this machine.

    :return: ``version`` of aiida-pet, ``python``, ``host``, ``packages`` (name -> version, None for one that is not
        there), ``cores`` that this process may use, ``open_files`` (limit), ``visible_devices`` (the value of
        ``CUDA_VISIBLE_DEVICES``, None if it is not set), ``cuda`` (version that torch was built for, None without),
        ``devices`` (``name`` and ``memory_mb`` of each GPU), ``problem`` (what torch says when it fails, or empty).
    """
    found: dict[str, Any] = {
        "version": aiida_pet.__version__,
        "python": platform.python_version(),
        "host": platform.node(),
        "packages": {name: _version(name) for name in PACKAGES},
        "cores": len(os.sched_getaffinity(0)),
        "open_files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "visible_devices": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "cuda": None,
        "devices": [],
        "problem": "",
    }
    if importlib.util.find_spec("torch") is None:
        return found | {"problem": "torch is not installed: pip install 'aiida-pet[engine]'"}
    try:
        import torch  # noqa: PLC0415 - what is probed for

        found["cuda"] = torch.version.cuda
        if torch.cuda.is_available():
            found["devices"] = [
                _device(torch.cuda.get_device_properties(i)) for i in range(torch.cuda.device_count())
            ]
    except Exception as error:  # a driver or library that does not fit raises whatever it likes
        found["problem"] = f"{type(error).__name__}: {error}"
    return found


def _device(properties: Any) -> dict[str, Any]:
    return {"name": str(properties.name), "memory_mb": int(properties.total_memory) // 2**20}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
