"""Shards of a job of the transport to nodes: those of the engine's jobs, but that there is no model."""

from __future__ import annotations

from aiida_pet.data.merging import places_of
from aiida_pet.data.structures import StructureSetData
from aiida_pet.parsers.batch import BatchParser
from aiida_pet.tables.crystals import StructureTable


class TransportParser(BatchParser):
    """Parser of jobs of the transport."""

    CACHE_VERSION = 1

    def _node_of(self, results: StructureTable) -> StructureSetData:
        """Return the node of the finished rows; they stand for what the forces were made of."""
        node = StructureSetData.from_table(results)
        given = self.node.inputs.structures
        fingerprints = given.fingerprints()
        if fingerprints is not None:
            node.set_fingerprints(fingerprints[places_of(given.ids, results.ids)])
        return node
