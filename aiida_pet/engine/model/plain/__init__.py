"""PET of plain checkpoints without metatrain: the stored weights, and the network and its preprocessing on tensors.

metatrain, with sympy and what else it imports, costs more than half a second of CPU at each start. What evaluates a
plain checkpoint is small, and stands here: the numbers are metatrain's to 1e-10 (``tests/engine/model/plain``). What is
not plain, or of a version unknown here, raises :class:`~aiida_pet.engine.model.plain.stored.NotPlainError` and goes
through metatrain.
"""
