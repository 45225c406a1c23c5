"""What a model is worth: errors on held-out crystals, known crystals, smoothness of E(V), phases, uncertainty.

``python -m benchmarks.model_check MODEL.ckpt --data SHARED_DATA -o check.json`` prints a table after each part.
"""
