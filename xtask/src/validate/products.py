"""Multiplies the matrices of `cargo xtask validate --aihwkit` with aihwkit's analog tiles.

Reads one JSON document from stdin and writes one to stdout. Everything random is aihwkit's own: read
noise and output noise are those of its C++ tiles, programming goes through its conductance converter.
A conversion is one product of a tile with the rows that are on; its converter is the tile's, of step 1.
"""

import json
import sys

try:
    import torch
    from aihwkit.inference import BaseNoiseModel, SinglePairConductanceConverter
    from aihwkit.simulator.configs import TorchInferenceRPUConfig
    from aihwkit.simulator.parameters.enums import (
        BoundManagementType,
        NoiseManagementType,
        WeightModifierType,
    )
    from aihwkit.simulator.tiles.inference_torch import TorchInferenceTile
except ImportError as error:
    sys.exit(f"{error}: pip install aihwkit==1.1.0")


class Programming(BaseNoiseModel):
    """A relative normal deviation of every conductance, and no drift."""

    def __init__(self, sigma):
        super().__init__(SinglePairConductanceConverter(g_max=1.0))
        self.sigma = sigma

    def apply_programming_noise_to_conductance(self, g_target):
        return g_target * (1.0 + self.sigma * torch.randn_like(g_target))

    def generate_drift_coefficients(self, g_target):
        return torch.zeros_like(g_target)

    def apply_drift_noise_to_conductance(self, g_prog, nu_drift, t_inference):
        return g_prog


def tile(case):
    config = TorchInferenceRPUConfig(noise_model=Programming(case["sigma_lrs_rel"]))
    forward = config.forward
    forward.inp_bound = 1.0
    forward.inp_res = -1
    forward.inp_noise = 0.0
    forward.noise_management = NoiseManagementType.NONE
    forward.bound_management = BoundManagementType.NONE
    forward.out_bound = float(case["max_code"])
    # The resolution is relative to the whole range, -out_bound to out_bound: a step of 1.
    forward.out_res = 0.5 / case["max_code"]
    forward.out_noise = case["comparator_noise_lsb"]
    if case["read_noise_rel"]:
        # Every weight anew for every product: nothing is collapsed here.
        config.modifier.type = WeightModifierType.MULT_NORMAL
        config.modifier.std_dev = case["read_noise_rel"]
        config.modifier.rel_to_actual_wmax = False
        config.modifier.per_batch_sample = True
    bits = torch.tensor(case["bits"], dtype=torch.float32).t().contiguous()
    made = TorchInferenceTile(*bits.shape, config)
    made.set_weights(bits)
    # Read noise is what aihwkit trains with; a tile that does not train has none.
    return made.train(bool(case["read_noise_rel"]))


def conversions(values, most):
    """The groups of the ordered scan, as rows of 0 and 1, and the weights of their bit-planes."""
    masks, weights = [], []
    for plane in range(2):
        on = [row for row, value in enumerate(values) if value >> plane & 1]
        for first in range(0, len(on), most):
            mask = torch.zeros(len(values))
            mask[on[first : first + most]] = 1.0
            masks.append(mask)
            weights.append(float(1 << plane))
    return torch.stack(masks), torch.tensor(weights)


def outputs(case):
    """(input, sample, column): 2 R - S."""
    of_case = []
    made = tile(case)
    for values in case["inputs"]:
        masks, weights = conversions(values, case["rows_per_conversion"])
        samples = []
        for _ in range(case["samples"]):
            if case["sigma_lrs_rel"]:
                made.program_weights()
            codes = made.forward(masks).round().clamp(min=0.0)
            raw = (weights[:, None] * codes).sum(0)
            samples.append((2.0 * raw - sum(values)).round().int().tolist())
        of_case.append(samples)
    return of_case


def main():
    given = json.load(sys.stdin)
    torch.manual_seed(given["seed"])
    with torch.no_grad():
        json.dump([outputs(case) for case in given["cases"]], sys.stdout)


main()
