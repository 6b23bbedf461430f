"""The VAE of examples/faces.py compared with PyTorch's, from the same initial values, on the same batches.

usage: python -m benchmarks faces --model figures/faces.npz [--data NAME] [--data-dir DIR] [--out FILE]

The model is the file that the example saves; faces.json beside it has the number of epochs. PyTorch trains the same
model, its parameters are copied back, and scratchvae scores both on the same test images.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy

import scratchvae as sv
from benchmarks.arguments import parser as options_of
from benchmarks.arguments import say

sys.path.append(str(Path(__file__).parents[1] / "examples"))
import faces as example

OUR_AXES, THEIR_AXES = (2, 3, 1, 0), (3, 2, 0, 1)
"""From PyTorch's kernels (C_out, C_in, KH, KW), or, transposed, (C_in, C_out, KH, KW), to ours, and back."""


def main(arguments: list[str]) -> None:
    """Trains by PyTorch, scores both models, and writes the results. Needs torch (extra `bench`)."""
    parser = options_of("faces", __doc__, "faces.json")
    parser.add_argument("--model", required=True, help="file that examples/faces.py saves, faces.npz")
    parser.add_argument("--data", default="faces", help="name of a data set with photographs of faces (default: faces)")
    parser.add_argument("--data-dir", help="folder with the files of the data set (default: $SCRATCHVAE_DATA)")
    parser.add_argument("--images", type=int, default=None, help="use the first N images of both parts (default: all)")
    options = parser.parse_args(arguments)
    train, test = sv.data.load(options.data, options.data_dir)
    x, x_test = (
        example.with_mirror_images(train.images[: options.images]),
        sv.data.dequantize(test.images[: options.images], sv.Noise(1)),
    )
    ours, left = sv.load(options.model), json.loads(Path(options.model).with_suffix(".json").read_text())
    results = {"epochs": left["epochs"], "scratchvae": example.score(ours, x_test) | {"seconds": left["seconds"]}}
    started = time.perf_counter()
    theirs = fit_by_pytorch(example.initial_model(x.shape[1:]), x, left["epochs"])
    seconds = round(time.perf_counter() - started, 1)
    results["pytorch"] = example.score(theirs, x_test) | {"seconds": seconds}
    results["ratio of the ELBOs"] = results["scratchvae"]["elbo"] / results["pytorch"]["elbo"]
    out = Path(options.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))


def fit_by_pytorch(model: sv.VAE, x: numpy.ndarray, epochs: int, seed: int = 0) -> sv.VAE:
    """Trains a convolutional model with one learned sigma by PyTorch, as `fit` does, and copies the parameters back."""
    import torch
    from torch.distributions import Normal, kl_divergence
    from torch.nn import functional

    torch.manual_seed(seed)
    parameters = {
        name: torch.nn.Parameter(torch.tensor(_turned(sv.to_numpy(value), THEIR_AXES)))
        for name, value in model.named_parameters().items()
    }
    adam = torch.optim.Adam(parameters.values())
    learning_rate, step = example.learning_rate(len(x), epochs), 0
    smallest = torch.tensor(sv.models.real_decoders.SMALLEST_STD).log()
    prior = Normal(torch.zeros(model.latent_size), torch.ones(model.latent_size))
    encoder, decoder = model.encoder.network, model.decoder.network

    def layers(part, network):
        for i in range(len(network.convolutions)):
            yield (
                parameters[f"{part}.network.convolutions.{i}.kernel"],
                parameters[f"{part}.network.convolutions.{i}.bias"],
            )

    def linear(part, h):
        return h @ parameters[f"{part}.network.linear.weight"] + parameters[f"{part}.network.linear.bias"]

    def objective(images):
        h = images
        for kernel, bias in layers("encoder", encoder):
            h = torch.relu(functional.conv2d(h, kernel, bias, stride=2, padding=1))
        mean, log_std = linear("encoder", h.permute(0, 2, 3, 1).flatten(1)).chunk(2, dim=1)
        q = Normal(mean, log_std.exp(), validate_args=False)
        h = linear("decoder", q.rsample())
        h = h.reshape(len(h), *decoder.shapes[0]).permute(0, 3, 1, 2)
        for kernel, bias in layers("decoder", decoder):
            h = functional.conv_transpose2d(torch.relu(h), kernel, bias, stride=2, padding=1)
        raw = parameters["decoder.raw_log_std"]
        likelihood = Normal(h, (smallest + functional.softplus(raw - smallest)).exp(), validate_args=False)
        kl = kl_divergence(q, prior).sum(dim=1)
        return (likelihood.log_prob(images).sum(dim=(1, 2, 3)) - example.KL_WEIGHT * kl).mean()

    images = torch.tensor(x).permute(0, 3, 1, 2).contiguous()
    for epoch in range(epochs):
        say(f"faces: PyTorch, epoch {epoch + 1} of {epochs}")
        for rows in sv.data.minibatches(len(x), example.BATCH_SIZE, sv.Noise(seed, epoch)):
            adam.param_groups[0]["lr"], step = learning_rate(step), step + 1
            adam.zero_grad()
            (-objective(images[torch.tensor(rows)])).backward()
            adam.step()
    for name, value in model.named_parameters().items():
        value.data[...] = _turned(parameters[name].detach().numpy(), OUR_AXES)
    return model


def _turned(array: numpy.ndarray, axes: tuple[int, ...]) -> numpy.ndarray:
    """Returns a kernel in the other layout, and weights and biases unchanged."""
    return numpy.ascontiguousarray(array.transpose(axes)) if array.ndim == 4 else array
