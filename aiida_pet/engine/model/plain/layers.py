"""The layers of PET (Pozdnyakov and Ceriotti, arXiv:2305.19302), as metatrain's ``pet.modules.transformer`` has them.

Tokens of an atom are the atom itself and its neighbours, (A, 1 + M, d). Weights of attention are multiplied by the
cutoff factors of the neighbours, by adding their logarithms to the scores; these are the same for all tokens of an
atom, so that they are (A, 1, 1, 1 + M) here.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from aiida_pet.engine.batch.batch import Tensor
from aiida_pet.engine.model.attention import attended
from aiida_pet.engine.model.plain.weights import Weights

silu = torch.nn.functional.silu


@dataclass(frozen=True)
class Shape:
    """Sizes and kinds of the layers, by the names of metatrain's hyperparameters."""

    d_pet: int
    d_node: int
    d_head: int
    d_feedforward: int
    num_heads: int
    num_gnn_layers: int
    num_attention_layers: int
    normalization: str
    activation: str
    attention_temperature: float
    transformer_type: str
    featurizer_type: str


class Linear(torch.nn.Module):
    """x W^T + b, of ``n_in`` to ``n_out`` numbers."""

    def __init__(self, weights: Weights, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight, self.bias = weights.take("weight", n_out, n_in), weights.take("bias", n_out)

    def forward(self, x: Tensor) -> Tensor:
        """Return the (..., n_out) image of ``x`` (..., n_in)."""
        return torch.nn.functional.linear(x, self.weight, self.bias)


class Norm(torch.nn.Module):
    """LayerNorm or RMSNorm over the last dimension, of length ``size``."""

    def __init__(self, weights: Weights, kind: str, size: int) -> None:
        super().__init__()
        self.weight = weights.take("weight", size)
        self.bias = weights.take("bias", size) if kind == "LayerNorm" else None

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` with its last dimension normalised."""
        if self.bias is None:
            return torch.nn.functional.rms_norm(x, self.weight.shape, self.weight)
        return torch.nn.functional.layer_norm(x, self.weight.shape, self.weight, self.bias)


class TwoLayers(torch.nn.Module):
    """Linear, SiLU, linear; as a head, SiLU again."""

    def __init__(self, weights: Weights, n_in: int, n_mid: int, n_out: int, *, is_head: bool = False) -> None:
        super().__init__()
        self.first = Linear(weights.at(0), n_in, n_mid)
        self.second = Linear(weights.at(2), n_mid, n_out)
        self.is_head = is_head

    def forward(self, x: Tensor) -> Tensor:
        """Return the (..., n_out) image of ``x`` (..., n_in)."""
        x = self.second(silu(self.first(x)))
        return silu(x) if self.is_head else x


class FeedForward(torch.nn.Module):
    """A layer of width ``inner`` between two linear ones: SiLU, or SwiGLU, whose gate is a half of it."""

    def __init__(self, weights: Weights, size: int, inner: int, activation: str) -> None:
        super().__init__()
        self.is_gated = activation == "SwiGLU"
        self.w_in = Linear(weights.at("w_in"), size, 2 * inner if self.is_gated else inner)
        self.w_out = Linear(weights.at("w_out"), inner, size)

    def forward(self, x: Tensor) -> Tensor:
        """Return the image of ``x`` (..., size), of the same shape."""
        x = self.w_in(x)
        # the first half of the numbers times the sigmoids of the second, which are the gate
        return self.w_out(torch.nn.functional.glu(x, dim=-1) if self.is_gated else silu(x))


class Attention(torch.nn.Module):
    """Attention of ``num_heads`` heads among the tokens of each atom."""

    def __init__(self, weights: Weights, shape: Shape) -> None:
        super().__init__()
        size = shape.d_pet
        self.input_linear = Linear(weights.at("input_linear"), size, 3 * size)
        self.output_linear = Linear(weights.at("output_linear"), size, size)
        self.num_heads, self.head_dim = shape.num_heads, size // shape.num_heads
        self.temperature = shape.attention_temperature

    def forward(self, x: Tensor, log_factors: Tensor) -> Tensor:
        """Return the mixed tokens of ``x`` (A, S, d), given the (A, 1, 1, S) logarithms of their factors."""
        return attended(self, x, log_factors)


class TransformerLayer(torch.nn.Module):
    """Attention and feed-forward with the norm before (PreLN) or after (PostLN); atoms may have a wider token."""

    def __init__(self, weights: Weights, shape: Shape) -> None:
        super().__init__()
        size, wide, norm = shape.d_pet, shape.d_node, shape.normalization
        self.is_pre = shape.transformer_type == "PreLN"
        self.attention = Attention(weights.at("attention"), shape)
        self.norm_attention = Norm(weights.at("norm_attention"), norm, size)
        self.norm_mlp = Norm(weights.at("norm_mlp"), norm, size)
        self.mlp = FeedForward(weights.at("mlp"), size, shape.d_feedforward, shape.activation)
        self.is_wide = wide != size
        if self.is_wide:
            self.center_contraction = Linear(weights.at("center_contraction"), wide, size)
            self.center_expansion = Linear(weights.at("center_expansion"), size, wide)
            self.norm_center = Norm(weights.at("norm_center_features"), norm, wide)
            self.center_mlp = FeedForward(weights.at("center_mlp"), wide, 2 * wide, shape.activation)

    def forward(self, nodes: Tensor, edges: Tensor, log_factors: Tensor) -> tuple[Tensor, Tensor]:
        """Return the new tokens of atoms ``nodes`` (A, 1, d_node) and of their neighbours ``edges`` (A, M, d_pet)."""
        narrow = self.center_contraction(nodes) if self.is_wide else nodes
        tokens = torch.cat([narrow, edges], dim=1)
        if self.is_pre:
            mixed = self.attention(self.norm_attention(tokens), log_factors)
            new_nodes, new_edges = mixed[:, :1], edges + mixed[:, 1:]
            new_edges = new_edges + self.mlp(self.norm_mlp(new_edges))
        else:
            tokens = self.norm_attention(tokens + self.attention(tokens, log_factors))
            tokens = self.norm_mlp(tokens + self.mlp(tokens))
            new_nodes, new_edges = tokens[:, :1], tokens[:, 1:]
        if self.is_wide:
            new_nodes = nodes + self.center_expansion(new_nodes)
            new_nodes = new_nodes + self.center_mlp(self.norm_center(new_nodes))
        return new_nodes, new_edges


class GnnLayer(torch.nn.Module):
    """Tokens made of edge vectors, elements and messages, and the transformer over them.

    All is linear up to the first SiLU of ``compress``. So its matrix is multiplied with what stands before it, which
    does not depend on the crystal: an edge vector goes through one matrix of 4 x d numbers, and an element adds a row
    of a table. A third of the product of all three is left, and in the first layer nothing.

    :param first_messages: (elements, d) what the messages of the first layer are, by element of the neighbour; None in
        later layers, where the element of the neighbour is told beside the message.
    """

    def __init__(
        self,
        weights: Weights,
        shape: Shape,
        n_elements: int,
        *,
        first_messages: torch.nn.Parameter | None,
    ) -> None:
        super().__init__()
        size = shape.d_pet
        self.is_first = first_messages is not None
        self.edge_embedder = Linear(weights.at("edge_embedder"), 4, size)
        self.compress = TwoLayers(weights.at("compress"), (2 if self.is_first else 3) * size, size, size)
        if first_messages is None:
            first_messages = weights.at("neighbor_embedder").take("weight", n_elements, size)
        self.elements = first_messages
        self.layers = torch.nn.ModuleList(
            TransformerLayer(weights.at("trans", "layers", layer), shape)
            for layer in range(shape.num_attention_layers)
        )

    def forward(
        self, nodes: Tensor, messages: Tensor, data: dict[str, Tensor], log_factors: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the new atoms (A, d_node) and neighbours (A, M, d_pet), given the old ones, and the geometry."""
        edges, nodes = self._tokens(messages, data), nodes[:, None]
        for layer in self.layers:
            nodes, edges = layer(nodes, edges, log_factors)
        return nodes[:, 0], edges

    def _tokens(self, messages: Tensor, data: dict[str, Tensor]) -> Tensor:
        """Return the (A, M, d_pet) neighbours before the transformer."""
        first, size = self.compress.first, self.elements.shape[1]
        of_edges, of_elements, of_messages = first.weight.tensor_split((size, 2 * size), dim=1)
        bias = torch.addmv(first.bias, of_edges, self.edge_embedder.bias)
        table = torch.addmm(bias, self.elements, of_elements.mT)
        tokens = table[data["element_indices_neighbors"].flatten()]
        geometry = torch.cat([data["edge_vectors"], data["edge_distances"][:, :, None]], dim=2)
        tokens = torch.addmm(tokens, geometry.flatten(0, 1), (of_edges @ self.edge_embedder.weight).mT)
        if not self.is_first:
            tokens = torch.addmm(tokens, messages.flatten(0, 1), of_messages.mT)
        return self.compress.second(silu(tokens)).unflatten(0, geometry.shape[:2])
