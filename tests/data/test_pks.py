"""Numbers that no node can have are answered like those that no node has."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.common.exceptions import NotExistent

from aiida_pet.campaigns.errors import NoSuchNodeError
from aiida_pet.campaigns.nodes import load
from aiida_pet.computers.codes import CodeError, find_code
from aiida_pet.data.model_nodes import ModelNotFoundError, find_model
from aiida_pet.data.pks import LARGEST_PK, checked_pk, node_with_pk

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")


def test_a_node_is_found_by_its_number_as_text():
    node = orm.Int(3).store()
    assert node_with_pk(str(node.pk)).uuid == node.uuid
    assert checked_pk(LARGEST_PK) == LARGEST_PK


@pytest.mark.parametrize("pk", ["0", "99999", str(LARGEST_PK + 1), "9" * 30])
def test_numbers_of_no_node_are_answered_alike(pk):
    with pytest.raises(NotExistent):
        node_with_pk(pk)
    with pytest.raises(NoSuchNodeError, match=f"no node with pk, label or uuid '{pk}'"):
        load(pk)
    with pytest.raises(CodeError, match=f"there is no code '{pk}'"):
        find_code(pk)
    with pytest.raises(ModelNotFoundError, match=f"there is no node with pk {pk}"):
        find_model(pk)
