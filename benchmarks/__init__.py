"""What aiida-pet costs, measured: ``python -m benchmarks [NAME ...]`` (or ``make bench NAME=...``).

Each benchmark prints JSON lines with ``name``, ``value``, ``unit``, ``against`` (what the value is compared
with), ``ratio`` (how many times better than that) and ``machine``. Run one at a time, on a machine that
does nothing else: two torch processes that spin on the same cores are many times slower than one.
"""
