"""Heat and vibrations against programs driven by hand and published runs: ``python -m benchmarks.heat_check``.

Not benchmarks of speed: each part says what it compares, what it found, and whether that is within its bound.
"""
