"""A node has the label of AiiDA, and further ones."""

from typing import Any

import numpy as np

from aiida_pet.data.labels import add_label, labelled, labels_of, set_label
from aiida_pet.data.table import TableData


def test_labels_are_added_found_and_replaced(aiida_profile: Any) -> None:
    node = TableData.from_ids(np.array(["a", "b"])).store()
    add_label(node, "")
    assert labels_of(node) == []
    for label in ("first", "second.5", "second.5", "third"):
        add_label(node, label)
    assert node.label == "first"
    assert labels_of(node) == ["first", "second.5", "third"]
    assert all(labelled(label) == [node.pk] for label in labels_of(node))
    set_label(node, "only")
    assert labels_of(node) == ["only"]
    assert labelled("third") == []
