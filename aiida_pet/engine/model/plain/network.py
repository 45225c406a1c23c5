"""PET's network over padded neighbours, with the calls of metatrain's ``PETBackend`` that the engine makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from aiida_pet.engine.batch.batch import Tensor
from aiida_pet.engine.model.attention import log_factors_of
from aiida_pet.engine.model.plain.geometry import Cutoffs, side_by_side
from aiida_pet.engine.model.plain.layers import GnnLayer, Linear, Norm, Shape, TwoLayers
from aiida_pet.engine.model.plain.stored import NotPlainError
from aiida_pet.engine.model.plain.weights import Weights

STRESS = (
    "non_conservative_stress"  # the one output that metatrain divides by the volume; its variants it does not
)


class Readout(torch.nn.Module):
    """One output of the network: a head and a last layer for atoms and neighbours of each readout layer.

    :param name: name of the output.
    :param size: numbers of it that an atom has.
    """

    def __init__(self, weights: Weights, name: str, size: int, shape: Shape, n_layers: int) -> None:
        super().__init__()
        self.nodes, self.edges = torch.nn.ModuleList(), torch.nn.ModuleList()
        self.last_nodes, self.last_edges = torch.nn.ModuleList(), torch.nn.ModuleList()
        d = shape.d_head
        for layer in range(n_layers):
            for kind, n_in, heads, lasts in (
                ("node", shape.d_node, self.nodes, self.last_nodes),
                ("edge", shape.d_pet, self.edges, self.last_edges),
            ):
                heads.append(TwoLayers(weights.at(f"{kind}_heads", name, layer), n_in, d, d, is_head=True))
                last = weights.at(f"{kind}_last_layers", name, layer)
                blocks = last.names()
                if len(blocks) != 1:
                    raise NotPlainError(f"its output {name} has {len(blocks)} blocks")
                lasts.append(Linear(last.at(blocks[0]), d, size))

    def features(self, nodes: Sequence[Tensor], edges: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return the last-layer features of atoms and of neighbours, of each readout layer."""
        return (
            [head(values) for head, values in zip(self.nodes, nodes, strict=True)],
            [head(values) for head, values in zip(self.edges, edges, strict=True)],
        )

    def of(self, nodes: Sequence[Tensor], edges: Sequence[Tensor], factors: Tensor) -> Tensor:
        """Return the (A, size) prediction of these features, ``factors`` (A, M) being those of the cutoff."""
        total: Any = 0.0
        for last, values in zip(self.last_nodes, nodes, strict=True):
            total = total + last(values)
        for last, values in zip(self.last_edges, edges, strict=True):
            total = total + (last(values) * factors[:, :, None]).sum(dim=1)
        return total


class Network(torch.nn.Module):
    """The network of a plain checkpoint.

    :param weights: weights of the checkpoint.
    :param index: (largest atomic number + 1,) int64, index of each element; -1 for those that the model does not know.
    :param sizes: numbers of an atom of each output that is wanted, by its name.
    :raises NotPlainError: if a tensor is missing or of another shape.
    """

    index: Tensor

    def __init__(
        self, weights: Weights, shape: Shape, cutoffs: Cutoffs, index: Tensor, sizes: dict[str, int]
    ) -> None:
        super().__init__()
        self.register_buffer("index", index)
        self.cutoffs, n_elements = cutoffs, int(index.max()) + 1
        self.is_feedforward = shape.featurizer_type == "feedforward"
        n_layers = shape.num_gnn_layers
        n_readouts = 1 if self.is_feedforward else n_layers
        self.node_elements = torch.nn.ParameterList(
            weights.at("node_embedders", layer).take("weight", n_elements, shape.d_node)
            for layer in range(n_readouts)
        )
        self.edge_elements = weights.at("edge_embedder").take("weight", n_elements, shape.d_pet)
        self.layers = torch.nn.ModuleList(
            GnnLayer(
                weights.at("gnn_layers", layer),
                shape,
                n_elements,
                first_messages=None if layer else self.edge_elements,
            )
            for layer in range(n_layers)
        )
        twice = 2 * shape.d_pet
        self.norms, self.mixers = torch.nn.ModuleList(), torch.nn.ModuleList()
        for layer in range(n_layers if self.is_feedforward else 0):
            self.norms.append(Norm(weights.at("combination_norms", layer), "LayerNorm", twice))
            self.mixers.append(TwoLayers(weights.at("combination_mlps", layer), twice, twice, shape.d_pet))
        self.readouts = torch.nn.ModuleDict(
            {name: Readout(weights, name, size, shape, n_readouts) for name, size in sizes.items()}
        )

    def preprocess(  # noqa: PLR0917 - called as metatrain's
        self,
        positions: Tensor,
        centers: Tensor,
        neighbors: Tensor,
        numbers: Tensor,
        cells: Tensor,
        shifts: Tensor,
        rows: Tensor,
        width_adaptive: float,
    ) -> dict[str, Tensor]:
        """Return what :func:`~aiida_pet.engine.model.plain.geometry.side_by_side` does, of atomic ``numbers`` (A,)."""
        return side_by_side(
            self.cutoffs,
            positions,
            centers,
            neighbors,
            elements=self.index[numbers],
            cells=cells,
            shifts=shifts,
            rows=rows,
            width_adaptive=width_adaptive,
        )

    def calculate_features(self, data: dict[str, Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return the features of atoms (A, d_node) and of neighbours (A, M, d_pet), of each readout layer."""
        log_factors = log_factors_of(data["cutoff_factors"])
        messages = self.edge_elements[data["element_indices_neighbors"]]
        places = data["reverse_neighbor_index"]
        of_nodes, of_edges = [], []
        nodes = self.node_elements[0][data["element_indices_nodes"]]
        for number, layer in enumerate(self.layers):
            if not self.is_feedforward:
                nodes = self.node_elements[number][data["element_indices_nodes"]]
            nodes, edges = layer(nodes, messages, data, log_factors)
            # the message of i to j becomes that of j to i
            turned = edges.flatten(0, 1)[places]
            if self.is_feedforward:
                both = torch.cat([edges, turned], dim=-1)
                messages = messages + edges + self.mixers[number](self.norms[number](both))
            else:
                of_nodes.append(nodes)
                of_edges.append(edges)
                messages = 0.5 * (messages + turned)
        return ([nodes], [messages]) if self.is_feedforward else (of_nodes, of_edges)

    def predict(  # noqa: PLR0917 - called as metatrain's
        self,
        nodes: Sequence[Tensor],
        edges: Sequence[Tensor],
        data: dict[str, Tensor],
        cells: Tensor,
        rows: Tensor,
        names: Sequence[str],
    ) -> tuple[dict[str, list[Tensor]], dict[str, list[Tensor]], dict[str, list[Tensor]]]:
        """Return the (A, size) predictions ``names``, in a list of one each, and the features before the last layer."""
        predicted, of_nodes, of_edges = {}, {}, {}
        for name in names:
            readout = self.readouts[name]
            assert isinstance(readout, Readout)
            of_nodes[name], of_edges[name] = readout.features(nodes, edges)
            values = readout.of(of_nodes[name], of_edges[name], data["cutoff_factors"])
            if name == STRESS:
                values = _per_volume(values, cells, rows)
            predicted[name] = [values]
        return predicted, of_nodes, of_edges


def _per_volume(values: Tensor, cells: Tensor, rows: Tensor) -> Tensor:
    """Return the symmetric part of the (A, 9) ``values``, (A, 3, 3, 1), by the volume of the cell of the atom."""
    volumes = torch.abs(torch.det(cells))
    volumes = torch.where(volumes == 0.0, torch.inf, volumes)  # of crystals that are not periodic throughout
    tensors = values.reshape(-1, 3, 3, 1) / volumes[rows].reshape(-1, 1, 1, 1)
    return (tensors + tensors.transpose(1, 2)) / 2.0
