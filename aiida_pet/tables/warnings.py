"""The codes of the column ``warnings``: short words that tell which numbers of a row need a second look.

A row holds any number of codes, sorted and separated by one space; an empty text means that there is nothing to say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum

COLUMN = "warnings"


class Warned(StrEnum):
    """A code, and what it means."""

    meaning: str

    def __new__(cls, code: str, meaning: str) -> Warned:
        """Return the member ``code``, which carries its ``meaning``."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    SYMMETRY_CHANGED = (
        "symmetry_changed",
        "The relaxation changed the space group, or the space group depends on the tolerance; `symmetry_warning` "
        "names the groups.",
    )
    SYMMETRY_NOT_HELD = (
        "symmetry_not_held",
        "The parameters ask for `symmetry=constrained` or an average over the space group, but no symmetry could be "
        "held.",
    )
    SYMMETRY_HELD_IN_PART = (
        "symmetry_held_in_part",
        "The parameters ask for `symmetry=constrained`, but some atoms do not obey the group that was found at "
        "`symprec`; a smaller group was held.",
    )
    STAGNANT = (
        "stagnant",
        "The relaxation made no progress for 60 steps and ended as `max_steps`. Its `fmax` or `stress_max` is smaller "
        "than the noise of a model in single precision (`dtype=mixed` or `float32`).",
    )
    VOLUME_CHANGE = (
        "volume_change",
        "The relaxation changed the volume by more than 10 %.",
    )
    VACUUM = (
        "vacuum",
        "A layer without atoms is wider than 7 A, as in a slab or a molecule in a box, but the cell is periodic in all "
        "directions. Its volume, moduli and phonons are not those of a crystal.",
    )
    SUPERCELL_CAPPED = (
        "supercell_capped",
        "The supercell is smaller than `min_image` requires: `max_atoms` limits it, or a column or parameter gives the "
        "supercell itself.",
    )
    MESH_COARSE = (
        "mesh_coarse",
        "The mesh of q-points is coarse: its acoustic modes at Gamma are more than 1 % of its modes. Thermal "
        "properties leave them out, so entropy and heat capacity are too small.",
    )
    BORN_SUM_RULE = (
        "born_sum_rule",
        "The sum of the Born charges over the N atoms of the primitive cell should be zero, but some component of it "
        "is above 0.1 e times the square root of N. Frequencies near Gamma may be wrong.",
    )
    IMAGINARY_AT_GAMMA = (
        "imaginary_at_gamma",
        "All imaginary modes are at Gamma, so they can be followed in the primitive cell.",
    )
    EXTRAPOLATED = (
        "extrapolated",
        "The crystal differs from the training data. Either it contains a pair of elements that no training crystal "
        "contains, or its uncertainty is larger than for 99 % of crystals like the training data.",
    )
    ROUGH = (
        "rough",
        "The moduli are not reliable: `fit_relative_residual` is above 5 %, or `laue_deviation` is above 5 % of the "
        "largest component of the elastic tensor.",
    )
    EOS_ROUGH = (
        "eos_rough",
        "The equation of state does not fit well: `eos_relative_residual` is above 1 %. Either the structure of the "
        "crystal changes at some volume, or the model is not smooth.",
    )
    VOLUME_AT_EDGE = (
        "volume_at_edge",
        "The volume at the pressure of the launch is outside of the computed volumes.",
    )
    UNSTABLE_VOLUME = (
        "unstable_volume",
        "The crystal has imaginary modes at some volumes. These volumes were left out (`n_unstable_volumes`).",
    )
    TEMPERATURE_RANGE = (
        "temperature_range",
        "At high temperatures the volume is outside of the computed volumes. Properties above `qha_max_temperature` "
        "are missing.",
    )
    LATTICE_ONLY = (
        "lattice_only",
        "All elements of the crystal are metals. `kappa_300` is the conductivity of the lattice alone; electrons may "
        "carry more heat.",
    )
    LONG_TIMESTEP = (
        "long_timestep",
        "The time step is longer than a fifteenth of the vibration period of the lightest atom on a stiff bond, such "
        "as O-H or C-C. The limit is 0.6 fs with hydrogen, 2 fs with carbon, 6 fs with molybdenum. With `respa`, the "
        "code also stands for an outer step that is longer than half of this period: 4.5 fs with hydrogen, 16 fs with "
        "carbon.",
    )


def joined(codes: Iterable[str]) -> str:
    """Return ``codes`` as the column holds them: each once, sorted, separated by a space."""
    return " ".join(sorted({str(code) for code in codes}))


def codes_in(text: str) -> list[str]:
    """Return the codes that ``text``, a value of the column, holds."""
    return text.split()


def counted(texts: Iterable[str]) -> dict[str, int]:
    """Return code -> number of rows that carry it, the most frequent first.

    :param texts: values of the column.
    """
    counts: Counter[str] = Counter()
    for text, rows in Counter(texts).items():
        counts.update(dict.fromkeys(codes_in(text), rows))
    return dict(counts.most_common())


def told(counts: Mapping[str, int]) -> str:
    """Return how many rows carry each code, as ``symmetry_changed 12, rough 3``."""
    return ", ".join(f"{code} {count:,}" for code, count in counts.items())


def meaning_of(code: str) -> str:
    """Return what ``code`` means, empty for one of another version."""
    return next((member.meaning for member in Warned if member.value == code), "")
