"""The running interpreter's own programs. Imports nothing of AiiDA, since one of them must be found before it is."""

from __future__ import annotations

import os
import shutil
import sys
import warnings
from pathlib import Path


def scripts_folder() -> Path:
    """Return the folder of the running interpreter, where its console scripts are."""
    return Path(sys.executable).parent


def prepare_environment() -> None:
    """Put the interpreter's own folder on the PATH, where AiiDA looks for ``verdi``; silence set-up chatter.

    Must run before AiiDA is imported: it looks once, at import.
    """
    warnings.filterwarnings("ignore", message="Creating AiiDA configuration folder")
    folder = str(scripts_folder())
    if shutil.which("verdi") is None and Path(folder, "verdi").exists():
        os.environ["PATH"] = os.pathsep.join([folder, os.environ.get("PATH", "")])
