"""How good the time left is that a live status tells: a screening watched from its begin, against when it ended.

The time left is that of the whole funnel. From a fifth of the time on it is to be within a factor of two of the truth;
in the last twentieth, seconds of AiiDA are all that is left, and no figure is judged.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from benchmarks.harness import Measurement, isolated_profile
from benchmarks.overhead import alloys

N_CRYSTALS = 240
KEEP = "e_above_hull <= 0.02"  # eV/atom
MIN_IMAGE = 8.0  # A
LOOK_S = 2.0
JUDGED = (0.2, 0.95)
WITHIN = 2.0


def run(quick: bool = False) -> Iterator[Measurement]:
    """Watch a screening of ordered alloys, and tell the time left over the truth from a fifth of the time on.

    :param quick: a sixth of the crystals.
    :raises RuntimeError: if the screening failed.
    """
    count = N_CRYSTALS // 6 if quick else N_CRYSTALS
    with isolated_profile():
        looked, whole = watched(count)
    share = looked[:, 0] / whole
    ratios = looked[:, 1] / np.maximum(whole - looked[:, 0], 1e-9)
    judged = (share >= JUDGED[0]) & (share <= JUDGED[1])
    worst = float(np.exp(np.abs(np.log(np.maximum(ratios[judged], 1e-3))).max()))
    told = {f"at {100 * at:.0f} %": float(np.interp(at, share, ratios)) for at in np.arange(0.1, 1.0, 0.1)}
    yield Measurement(
        "eta/worst_factor", worst, "", f"target {WITHIN:g}", WITHIN / worst, {"whole_s": whole, **told}
    )


def watched(count: int) -> tuple[np.ndarray, float]:
    """Return (K, 2) seconds since the launch and seconds left as they were told, and how long it took.

    :raises RuntimeError: if the screening failed.
    """
    from aiida import orm
    from aiida.engine import submit

    from aiida_pet import models
    from aiida_pet.campaigns.live import live_looks
    from aiida_pet.data.model import PetModelData
    from aiida_pet.data.structures import StructureSetData
    from aiida_pet.workchains.screening import ScreeningWorkChain

    builder = ScreeningWorkChain.get_builder_from_protocol(
        orm.load_code("pet-engine@localhost"),
        PetModelData.from_file(models.embedded_path()),
        StructureSetData.from_iterator(alloys(count, count, 0)).store(),
        overrides={"hull": {"keep": KEEP}, "phonons": {"parameters": {"min_image": MIN_IMAGE}}},
        settings={"threads": 1},
        lanes=2,
    )
    node = submit(builder)
    start, looked = time.monotonic(), []
    for look in live_looks(node):
        if look.left_s is not None:
            looked.append((time.monotonic() - start, look.left_s))
            time.sleep(LOOK_S)
    if not node.is_finished_ok:
        raise RuntimeError(f"the screening ended with {node.exit_status}: {node.exit_message}")
    return np.array(looked), time.monotonic() - start
