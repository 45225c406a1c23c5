"""``python -m benchmarks.faults``: see :mod:`benchmarks.faults.injected`."""

from __future__ import annotations

import sys

from benchmarks.faults.injected import main

if __name__ == "__main__":
    sys.exit(main())
