"""Writes a LeNet-5 that was trained in PyTorch as an interchange folder (docs/formats.md)."""

import json
from pathlib import Path

import numpy as np


def fold(weights, cuts, norm=None, halves_to_even=True):
    """The ±1 weights and the thresholds of a layer: sign(weights), then batch norm, then cuts.

    As torch.round takes halves to even, odd levels begin above their cut and even ones at it; without
    halves_to_even all begin at their cut.
    """
    signs = np.where(weights.detach().cpu().numpy() >= 0, 1, -1).astype(np.int8)
    thresholds = np.tile(np.asarray(cuts, np.float64), (len(signs), 1))
    if norm is not None:
        array = lambda tensor: tensor.detach().cpu().numpy().astype(np.float64)[:, None]
        gamma, beta = array(norm.weight), array(norm.bias)
        mean, sigma = array(norm.running_mean), np.sqrt(array(norm.running_var) + norm.eps)
        assert (gamma != 0).all(), "a channel with gamma = 0 is constant: prune it"
        turn = np.sign(gamma)
        thresholds = turn * mean + sigma * (thresholds - beta) / np.abs(gamma)
        signs *= turn.astype(np.int8).reshape(-1, *[1] * (signs.ndim - 1))
    least = np.ceil(thresholds)
    if halves_to_even:
        least[:, ::2] = np.floor(thresholds[:, ::2]) + 1
    return signs, least.clip(-2**30, 2**30).astype(np.int32)


def export(folder, net, cuts):
    """Writes a LeNet-5 with layers conv1, conv2, fc1, fc2, fc3 and norms norm1 to norm4."""
    folder = Path(folder)
    folder.mkdir()
    layers = []

    def matrix(kind, name, layer, norm, **sizes):
        weights, thresholds = fold(layer.weight, cuts, norm)
        step = {"kind": kind, "name": name, **sizes, "weights": f"{name}.weights.npy"}
        np.save(folder / step["weights"], weights)
        if name != "fc3":
            step["thresholds"] = f"{name}.thresholds.npy"
            np.save(folder / step["thresholds"], thresholds)
        layers.append(step)

    matrix("conv", "conv1", net.conv1, net.norm1, kernel=5, stride=1, padding=2)
    layers.append({"kind": "max_pool", "size": 2})
    matrix("conv", "conv2", net.conv2, net.norm2, kernel=5, stride=1, padding=0)
    layers.append({"kind": "max_pool", "size": 2})
    layers.append({"kind": "flatten"})
    matrix("linear", "fc1", net.fc1, net.norm3)
    matrix("linear", "fc2", net.fc2, net.norm4)
    matrix("linear", "fc3", net.fc3, None)
    network = {
        "format": "hafnia-network/1",
        "input": {"channels": 1, "height": 28, "width": 28, "cuts": [64, 128, 192]},
        "layers": layers,
    }
    (folder / "network.json").write_text(json.dumps(network, indent=2))
