"""Graphs of different sizes, such as molecules, and a network of PyTorch Geometric.

Needs torch_geometric.
"""

import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GCNConv, global_mean_pool


class OfGraphs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = GCNConv(5, 16), GCNConv(16, 16), nn.Linear(16, 1)

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor, batch: torch.Tensor) -> torch.Tensor:
        h = self.second(self.first(x, edge_index).relu(), edge_index).relu()
        return self.head(global_mean_pool(h, batch))


torch.manual_seed(0)
model, sizes = OfGraphs(), torch.randint(4, 12, (600,)).tolist()
graphs = [Data(x=torch.randn(n, 5), edge_index=torch.randint(0, n, (2, 2 * n))) for n in sizes]

# recipe
from bmdal import select_batch

train, pool = DataLoader(graphs[:60]), DataLoader(graphs[60:])
by_parts = lambda network, batch: network(batch.x, batch.edge_index, batch.batch)
for method in ("lcmd-tp_ll", "lcmd-tp_grad_rp-256"):  # the second by exact gradients, graph by graph
    print(method, select_batch(method, model, train, None, pool, 20, generator=0, forward=by_parts).indices)
