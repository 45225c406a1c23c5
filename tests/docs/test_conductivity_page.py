"""The example of docs/conductivity.md runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "conductivity.md"


def test_conductivity_from_forces(capsys):
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    exec(compile(block, str(PAGE), "exec"), {})
    supercells, room, hot = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\d+ \+ \d+ displaced supercells", supercells)
    values = [float(re.search(r": ([\d.]+) W", line).group(1)) for line in (room, hot)]
    assert 1 < values[1] < values[0] < 100
