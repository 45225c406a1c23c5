"""metatrain in a process that does not outlive the process that started it.

A scheduler may kill the parent alone; an orphan would go on to write into a folder that the next job reads.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any

_LOOK_S = 1.0


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os._exit(1)


def begin_lora_with_nothing() -> None:
    """Let the matrices of LoRA add nothing at first, as Hu et al. do (arXiv:2106.09685, Section 4.1).

    metatrain draws both at random, so that a fine-tuning would begin with another model than the one it was given.
    """
    import torch  # noqa: PLC0415
    from metatrain.pet.modules.finetuning import LoRALinear  # noqa: PLC0415

    made = LoRALinear.__init__

    def begin(self: Any, *arguments: Any, **options: Any) -> None:
        made(self, *arguments, **options)
        torch.nn.init.zeros_(self.lora_B.weight)

    LoRALinear.__init__ = begin


def main() -> None:
    """Run metatrain's command line in this process."""
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    sys.argv[0] = "mtt"
    from metatrain.__main__ import main as metatrain  # noqa: PLC0415 - torch

    begin_lora_with_nothing()
    metatrain()


if __name__ == "__main__":
    main()
