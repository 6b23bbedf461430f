"""Are the pictures of a 2-D latent space digits?   python -m benchmarks manifold CHECKPOINT...

A classifier, trained on the 20,000 drawn digits independently of the VAE (a small convolutional network if torch is
installed, else scikit-learn's multilayer perceptron), classifies the decoder means on a 20 x 20 grid through the
inverse Gaussian CDF. For each checkpoint, the benchmark prints the share of cells with a largest probability
above 0.9, and the classes of those cells. It takes about 15 seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy

import scratchvae as sv
from benchmarks.arguments import parser as options_of
from benchmarks.arguments import say
from scratchvae.plotting import latent_grid
from scratchvae.replacement import write_text

Classifier = Callable[[numpy.ndarray], numpy.ndarray]  # images (N, 28, 28, 1) -> probabilities (N, 10)


def main(arguments: list[str]) -> None:
    """Prints the classifier's answers for each checkpoint."""
    parser = options_of("manifold", __doc__)
    parser.add_argument("checkpoints", nargs="+", metavar="CHECKPOINT", help=".npz file of a 2-D VAE of 28 x 28 images")
    options = parser.parse_args(arguments)
    train, test = sv.data.load("drawn-digits")
    say("manifold: a classifier is trained on drawn digits")
    try:
        classify = convolutional_classifier(train)
    except ImportError:
        classify = perceptron_classifier(train)
    accuracy = (classify(test.images).argmax(axis=1) == test.labels).mean()
    print(f"{classify.__qualname__.split('.')[0]}: {accuracy:.2%} of the test images right")
    results = {}
    for path in options.checkpoints:
        share, classes = sure_cells(sv.load(path), classify)
        print(f"{path}: sure of {share:.1%} of the cells; {len(classes)} classes: {' '.join(map(str, classes))}")
        results[path] = {"share of cells": share, "classes": classes.tolist()}
    if options.out is not None:
        write_text(options.out, json.dumps(results, indent=1) + "\n")


def sure_cells(model: sv.VAE, classify: Classifier) -> tuple[float, numpy.ndarray]:
    """Returns the share of cells whose class has a probability above 0.9, and the classes of those cells."""
    images = sv.to_numpy(model.decode(latent_grid(20)).mean).reshape(-1, 28, 28, 1)
    probabilities = classify(images)
    sure = probabilities.max(axis=1) > 0.9
    return float(sure.mean()), numpy.unique(probabilities.argmax(axis=1)[sure])


def convolutional_classifier(train: sv.data.Dataset) -> Classifier:
    """Trains two convolutions and two linear layers, by torch."""
    import torch

    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 5, stride=2, padding=2),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 32, 5, stride=2, padding=2),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(32 * 7 * 7, 128),
        torch.nn.ReLU(),
        torch.nn.Linear(128, 10),
    )

    def prepared(images: numpy.ndarray) -> torch.Tensor:
        return torch.from_numpy(numpy.ascontiguousarray(images.transpose(0, 3, 1, 2)))

    x, y = prepared(train.images), torch.from_numpy(train.labels)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(3):  # passes over the images
        for rows in torch.randperm(len(x)).split(100):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
            optimizer.step()

    def classify(images: numpy.ndarray) -> numpy.ndarray:
        with torch.no_grad():
            return network(prepared(images)).softmax(dim=1).numpy()

    return classify


def perceptron_classifier(train: sv.data.Dataset) -> Classifier:
    """Trains a perceptron with one hidden layer of 256 units, by scikit-learn."""
    from sklearn.neural_network import MLPClassifier

    classifier = MLPClassifier((256,), batch_size=100, random_state=0)
    for _ in range(8):  # passes over the images
        classifier.partial_fit(train.images.reshape(len(train), -1), train.labels, classes=range(10))

    def classify(images: numpy.ndarray) -> numpy.ndarray:
        return classifier.predict_proba(images.reshape(len(images), -1))

    return classify
