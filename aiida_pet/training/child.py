"""metatrain in a process that does not outlive the process that started it.

A scheduler may kill the parent alone; an orphan would go on to write into a folder that the next job reads.
"""

from __future__ import annotations

import os
import sys
import threading
import time

_LOOK_S = 1.0


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os._exit(1)


def main() -> None:
    """Run metatrain's command line in this process."""
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    sys.argv[0] = "mtt"
    from metatrain.__main__ import main as metatrain  # noqa: PLC0415 - torch

    metatrain()


if __name__ == "__main__":
    main()
