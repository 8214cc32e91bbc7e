"""Graph networks: torch_geometric and equivariant ones."""

import torch
import torch_geometric.nn as gnn
from torch import nn
from torch.nn import functional as F
from torch_geometric.data import Batch, Data
from torch_geometric.nn.models import SchNet

from compatibility.entries import model, on_output, scalar

EDGES = torch.tensor([[0, 1, 1, 2, 2, 3, 3, 0, 4, 0, 5, 4], [1, 0, 2, 1, 3, 2, 0, 3, 0, 4, 4, 5]])


def graph():
    return Data(x=torch.randn(6, 4), edge_index=EDGES, y=torch.randint(3, (6,)))


def nodes(net, data):
    return F.cross_entropy(net(data.x, data.edge_index), data.y)


def two_graphs():
    return Batch.from_data_list([graph(), graph()])


@model("torch_geometric")
def gcn():
    return gnn.GCN(4, 6, 2, 3), nodes, graph()


@model("torch_geometric")
def gat():
    return gnn.GAT(4, 6, 2, 3, heads=2), nodes, graph()


@model("torch_geometric")
def gat_v2():
    return gnn.GAT(4, 6, 2, 3, v2=True), nodes, graph()


@model("torch_geometric")
def gin():
    return gnn.GIN(4, 6, 2, 3), nodes, graph()


@model("torch_geometric")
def graph_sage_max():
    return gnn.GraphSAGE(4, 6, 2, 3, aggr="max"), nodes, graph()


@model("torch_geometric")
def pna():
    degrees = torch.bincount(torch.bincount(EDGES[1]))
    return (
        gnn.PNA(4, 4, 2, 3, aggregators=["mean", "max", "std"], scalers=["identity", "attenuation"], deg=degrees),
        nodes,
        graph(),
    )


@model("torch_geometric")
def edge_cnn():
    return gnn.EdgeCNN(4, 5, 2, 3), nodes, graph()


@model("torch_geometric", train=True)
def gcn_with_batch_norm_in_train_mode():
    return gnn.GCN(4, 6, 2, 3, norm="batch"), nodes, graph()


@model("torch_geometric")
def gcn_with_graph_norm():
    return gnn.GCN(4, 6, 2, 3, norm="graph_norm"), nodes, graph()


class Pooled(nn.Module):
    """One output for each graph of a batch."""

    def __init__(self, pool):
        super().__init__()
        self.convolve, self.pool, self.read = gnn.GraphConv(4, 5), pool, nn.Linear(5, 2)

    def forward(self, data):
        return self.read(self.pool(F.relu(self.convolve(data.x, data.edge_index)), data.batch))


@model("torch_geometric")
def mean_pooling_of_two_graphs():
    return Pooled(gnn.global_mean_pool), on_output, two_graphs()


@model("torch_geometric")
def attention_pooling_of_two_graphs():
    return Pooled(gnn.AttentionalAggregation(nn.Linear(5, 1))), on_output, two_graphs()


@model("torch_geometric")
def set2set_of_two_graphs():
    class Set2Set(nn.Module):
        def __init__(self):
            super().__init__()
            self.aggregate, self.read = gnn.Set2Set(4, 2), nn.Linear(8, 2)

        def forward(self, data):
            return self.read(self.aggregate(data.x, data.batch))

    return Set2Set(), on_output, two_graphs()


@model("torch_geometric")
def transformer_convolution():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = gnn.TransformerConv(4, 3, heads=2), gnn.TransformerConv(6, 3)

        def forward(self, x, edges):
            return self.b(F.elu(self.a(x, edges)), edges)

    return Net(), nodes, graph()


@model("torch_geometric")
def gated_graph():
    return gnn.GatedGraphConv(4, 2), lambda net, d: scalar(net(d.x, d.edge_index)), graph()


@model("torch_geometric")
def chebyshev():
    return gnn.ChebConv(4, 3, 3), nodes, graph()


@model("torch_geometric")
def relational():
    net = gnn.RGCNConv(4, 3, num_relations=2)
    kinds = torch.arange(EDGES.shape[1]) % 2
    return net, lambda net, d: F.cross_entropy(net(d.x, d.edge_index, kinds), d.y), graph()


@model("torch_geometric")
def point_net():
    layers = nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 3))
    points = torch.randn(6, 3)
    return gnn.PointNetConv(layers), lambda net, d: scalar(net(d.x, points.to(d.x), d.edge_index)), graph()


@model("torch_geometric", tolerance=1e-4)
def schnet():
    net = SchNet(hidden_channels=6, num_filters=6, num_interactions=1, num_gaussians=4, cutoff=5.0)

    class Radius(nn.Module):  # without torch-cluster
        def forward(self, pos, batch):
            i, j = torch.triu_indices(len(pos), len(pos), 1)
            pairs = torch.cat([torch.stack([i, j]), torch.stack([j, i])], 1)
            return pairs, (pos[pairs[0]] - pos[pairs[1]]).norm(dim=1)

    net.interaction_graph = Radius()
    atoms = {"z": torch.tensor([1, 6, 8, 1]), "pos": torch.randn(4, 3)}
    return net, on_output, atoms


@model("torch_geometric")
def graph_autoencoder():
    net = gnn.GAE(gnn.GCNConv(4, 3))

    def loss(net, d):
        z = net.encode(d.x, d.edge_index)
        return -torch.log(net.decoder(z, d.edge_index, sigmoid=True) + 1e-15).mean()

    return net, loss, graph()


@model("torch_geometric")
def deep_graph_infomax():
    net = gnn.DeepGraphInfomax(
        5, gnn.GCNConv(4, 5), lambda z, *_, **__: z.mean(0).sigmoid(), lambda x, e: (x.flip(0), e)
    )
    return net, lambda net, d: net.loss(*net(d.x, d.edge_index)), graph()


@model("torch_geometric")
def link_prediction_with_node2vec_embedding():
    net = nn.Embedding(6, 3)
    return net, lambda net, d: -F.logsigmoid((net(d.edge_index[0]) * net(d.edge_index[1])).sum(1)).mean(), graph()
