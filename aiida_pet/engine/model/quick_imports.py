"""The import of metatomic without work that no job here has a use for: 0.5 of 2.0 s of CPU at each start.

metatensor compiles all of its operations to TorchScript when it is imported. Here models are evaluated as they are, not
scripted; where one is scripted after all, TorchScript compiles what it calls then.
"""

from __future__ import annotations

import torch


def import_metatomic() -> None:
    """Import ``metatomic.torch``, and ``metatensor.torch`` with it, while ``torch.jit.script`` leaves all as it is."""
    switch = torch.jit._state
    was_on = switch._enabled.enabled
    switch.disable()
    try:
        import metatomic.torch  # noqa: F401, PLC0415
    finally:
        if was_on:
            switch.enable()
