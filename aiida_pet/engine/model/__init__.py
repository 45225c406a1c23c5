"""Models: plain PET, whatever metatomic exports, and what they need of memory."""

from aiida_pet.engine.model.quick_imports import import_metatomic

import_metatomic()  # before any module here does
