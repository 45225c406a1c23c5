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
        "`symmetry=constrained` or an average over the group was asked for, but no symmetry could be held.",
    )
    SYMMETRY_HELD_IN_PART = (
        "symmetry_held_in_part",
        "`symmetry=constrained` was asked for, but some atoms do not obey the group that was found at `symprec`; a "
        "smaller group was held.",
    )
    STAGNANT = (
        "stagnant",
        "The relaxation came no closer to its criteria for 60 steps and ended as `max_steps`. Its `fmax` or "
        "`stress_max` lies below the noise of a model in single precision (`dtype=mixed` or `float32`).",
    )
    VOLUME_CHANGE = (
        "volume_change",
        "The relaxation changed the volume by more than 10 %.",
    )
    SUPERCELL_CAPPED = (
        "supercell_capped",
        "`max_atoms` made the supercell smaller than `min_image` asks for.",
    )
    IMAGINARY_AT_GAMMA = (
        "imaginary_at_gamma",
        "All imaginary modes are at Gamma, so they can be followed in the primitive cell.",
    )
    EXTRAPOLATED = (
        "extrapolated",
        "The crystal is unlike the training data: it holds two elements that no crystal of the training data holds "
        "together, or its uncertainty is larger than for 99 of 100 crystals like the training data.",
    )
    ROUGH = (
        "rough",
        "The elastic tensor leaves more than 5 % of the change of the stresses unexplained, or deviates from the "
        "symmetry of the crystal by more than 5 % of its largest component.",
    )
    EOS_ROUGH = (
        "eos_rough",
        "The equation of state leaves more than 1 % of the range of the energies unexplained: either the structure of "
        "the crystal changes at some volume, or the model is not smooth.",
    )
    VOLUME_AT_EDGE = (
        "volume_at_edge",
        "At the pressure of the launch, the volume lies outside the volumes that were computed.",
    )
    UNSTABLE_VOLUME = (
        "unstable_volume",
        "The crystal has imaginary modes at some of the volumes, which were left out (`n_unstable_volumes`).",
    )
    TEMPERATURE_RANGE = (
        "temperature_range",
        "At the highest of `temperatures` the volume lies outside the volumes that were computed. Properties above "
        "`qha_max_temperature` are missing.",
    )
    LATTICE_ONLY = (
        "lattice_only",
        "All elements of the crystal are metals. `kappa_300` is the conductivity of the lattice, and electrons may "
        "carry more.",
    )
    LONG_TIMESTEP = (
        "long_timestep",
        "The time step is more than a fifteenth of the period with which the lightest atom vibrates on a stiff bond, "
        "such as O-H or C-C: 0.6 fs with hydrogen, 2 fs with carbon, 6 fs with molybdenum.",
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
