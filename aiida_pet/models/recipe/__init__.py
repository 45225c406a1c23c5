"""How the model that ships was made: data, training, card. ``python -m aiida_pet.models.recipe`` makes it again.

Needs the engine's extra (torch, metatrain). Nothing here is imported by the plugin.
"""
