"""Components of columns have names, and a name tells its column."""

import numpy as np

from aiida_pet.tables.columns import find_columns, scalar_names, unit_of
from aiida_pet.tables.components import component_names, components_in, whole_of


def test_every_component_tells_its_column() -> None:
    shapes = {"stress": (6,), "elastic_tensor": (6, 6), "elastic_tensor_ieee": (6, 6), "mode_q": (3,)}
    for name, shape in shapes.items():
        names = component_names(name, (5, *shape))
        assert len(set(names)) == np.prod(shape)
        assert {whole_of(one) for one in names} == {name}
    assert component_names("elastic_tensor", (5, 6, 6))[21] == "C44"
    assert component_names("own", (5, 6, 6))[0] == "own_0"


def test_constants_are_columns_of_the_catalogue() -> None:
    assert unit_of("C44") == unit_of("C12_ieee") == "GPa"
    assert find_columns("C44")[0].name == "elastic_tensor"
    assert find_columns("C77") == find_columns("C4") == ()
    assert {"C11", "C66_ieee"} <= set(scalar_names("elastic"))


def test_components_are_found_by_their_column() -> None:
    names = [
        part
        for name, shape in {"stress": (6,), "elastic_tensor": (6, 6), "kappa": (12,), "one": (1,)}.items()
        for part in component_names(name, (5, *shape))
    ]
    further = ["kappa_300", "spacegroup_0_01", "initial_spacegroup_0_1", "forces_norm", "volume_0", "volume"]
    assert components_in([*names, *further]) == {
        "stress": names[:6],
        "elastic_tensor": names[6:42],
        "kappa": names[42:54],
        "one": ["one_0"],
    }
    assert components_in(names[1:6]) == {}  # a component is missing
