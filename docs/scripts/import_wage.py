"""Writes the network of the paper's first author as an interchange folder (docs/reproduction.md)."""

import json
from pathlib import Path

import numpy as np
import weights_9684_9665 as wage

folder = Path("wage")
folder.mkdir()
layers = []


def matrix(kind, name, array, last=False, **sizes):
    """One layer: signs of the weights, and the sum from which an activation of 1/2 is given."""
    (scale,) = np.unique(np.abs(array))
    np.save(folder / f"{name}.weights.npy", np.sign(array).astype(np.int8))
    layers.append({"kind": kind, "name": name, **sizes, "weights": f"{name}.weights.npy"})
    if not last:
        # A sum y of activations 0 and 1 stands for scale * y / 2, which must lie above 1/4.
        threshold = int(np.floor(0.5 / scale)) + 1
        thresholds = np.full((len(array), 1), threshold, np.int32)
        np.save(folder / f"{name}.thresholds.npy", thresholds)
        layers[-1]["thresholds"] = f"{name}.thresholds.npy"


conv = {"kernel": 5, "stride": 1, "padding": 0}
matrix("conv", "conv1", wage.weights_conv0, **conv)
layers.append({"kind": "max_pool", "size": 2})
matrix("conv", "conv2", wage.weights_conv1, **conv)
layers.append({"kind": "max_pool", "size": 2})
layers.append({"kind": "flatten"})
# Theirs are (in, out).
matrix("linear", "fc1", wage.fc0.T)
matrix("linear", "fc2", wage.fc1.T)
matrix("linear", "fc3", wage.fc2.T, last=True)
network = {
    "format": "hafnia-network/1",
    "input": {"channels": 1, "height": 28, "width": 28, "cuts": [65]},
    "layers": layers,
}
(folder / "network.json").write_text(json.dumps(network, indent=2))
