"""The options of `scratchvae train` that several kinds of model take."""

from __future__ import annotations

from scratchvae.data import DATASETS, SPLITS
from scratchvae.data.image_folders import COLOURS, FITS
from scratchvae.kinds.option import COUNT, FROM_ZERO, NOT_NEGATIVE, POSITIVE, Option, data_set, path, share_or_test

DATA = Option(
    "data",
    "data set: a name, or the path to a file or a folder\n"
    f"names: {', '.join(DATASETS)}\n"
    "images: a .npy, .npz or idx file, or a folder of .png and .jpg images (one sub-folder per class, if there are "
    "classes)\n"
    "sketches: an .ndjson, .json or .svg file, or a folder of .svg files\n"
    "molecules: a .smi or .txt file, or the column smiles of a .csv file, which may be compressed (.gz)\n"
    "table: a .csv or .tsv file, which may be compressed (.gz)",
    "drawn-digits",
    data_set,
    resumable=True,
)

DATA_DIR = Option(
    "data_dir",
    "folder with the files of a named data set; if they are not found, mnist, fashion-mnist, kmnist and emnist are "
    "downloaded once, to the user's cache",
    conversion=path,
    metavar="DIR",
    usual="$SCRATCHVAE_DATA",
    resumable=True,
)

DATA_LABELS = Option(
    "data_labels", "file with a label for each image of a --data file", conversion=path, metavar="FILE", resumable=True
)

FOLDER = (
    Option(
        "image_size",
        "size to which the images of a folder are brought, in pixels: one side, or height and width; at most 1024",
        None,
        COUNT,
        metavar="N",
        several="+",
        usual="the size of the images, if all have the same",
    ),
    Option(
        "image_colour",
        "read the images of a folder as grey or as colour images",
        None,
        choices=COLOURS,
        usual="colour if any image is in colour",
    ),
    Option(
        "image_fit",
        "how the images of a folder reach --image-size: crop cuts off what lies outside, fit keeps the whole image and "
        "fills the rest with black",
        None,
        choices=FITS,
        usual="crop",
    ),
)
"""The options that determine the size and colour to which the images of a folder are converted."""

READING = (
    DATA,
    DATA_DIR,
    DATA_LABELS,
    Option(
        "drawn",
        "number of training rows of a data set that the package itself draws (drawn-..., street-digits); more rows "
        "overfit less; the test part stays the same",
        None,
        COUNT,
        metavar="N",
        usual="20000, or 10000 faces",
    ),
    Option(
        "split",
        "how the test part of a file without one is chosen: a random tenth of its rows, or the last tenth",
        "random",
        choices=SPLITS,
        older="last",
    ),
    Option(
        "validation",
        "data by which the best checkpoint, best.npz, is chosen: a share of the training part, which is held out from "
        "training, or the word test for the test part",
        0.1,
        share_or_test,
        metavar="SHARE",
        older="test",
    ),
)
"""The options that every kind takes about its data."""

TRAINING = (
    Option("epochs", "number of passes over the training data", 30, COUNT, metavar="N", resumable=True),
    Option(
        "patience",
        "stop after N consecutive epochs without a better validation ELBO, and keep the parameters of the best epoch",
        None,
        COUNT,
        metavar="N",
        usual="train for all epochs, and keep the parameters of the last",
        resumable=True,
    ),
    Option(
        "time_limit",
        "limit on the training time, in seconds: stop before an epoch that would exceed it, but not before the first",
        None,
        POSITIVE,
        metavar="SECONDS",
        usual="no limit",
        resumable=True,
    ),
    Option("batch_size", "number of data rows per step", 128, COUNT, metavar="M"),
    Option("learning_rate", "learning rate of Adam", 2e-3, POSITIVE, metavar="RATE"),
    Option(
        "learning_rate_decay",
        "factor by which the learning rate is multiplied over an epoch, a little at every step",
        1.0,
        POSITIVE,
        metavar="FACTOR",
    ),
    Option(
        "weight_decay",
        "decoupled weight decay of AdamW: each step also subtracts learning rate x DECAY x parameter; 0 means plain "
        "Adam",
        0.0,
        NOT_NEGATIVE,
        metavar="DECAY",
    ),
    Option("kl_weight", "weight of the KL in the training objective", 1.0, NOT_NEGATIVE, metavar="WEIGHT"),
    Option("kl_warmup", "number of steps over which the weight of the KL grows from 0", 0, FROM_ZERO, metavar="STEPS"),
    Option(
        "kl_floor",
        "smallest value, in nats, with which the mean KL of a minibatch enters the objective, so that a KL below it "
        "costs nothing (not with --objective iwae)",
        0.0,
        NOT_NEGATIVE,
        metavar="NATS",
    ),
    Option("samples", "number of samples of z per data row", 1, COUNT, metavar="S"),
    Option(
        "objective",
        "objective to maximise: the ELBO, or the importance-weighted bound of IWAE, the log of the mean of S weights",
        "elbo",
        choices=("elbo", "iwae"),
    ),
    Option("clip_norm", "largest norm of the gradient", None, POSITIVE, metavar="NORM", usual="no limit"),
    Option("seed", "seed of the initial weights, the order of the rows and the noise", 0, FROM_ZERO, metavar="SEED"),
    Option("device", "device to compute on", "cpu", choices=("cpu", "gpu")),
)
"""The options that every kind takes about its training."""

COMMON = (*READING, *TRAINING)
"""The options that every kind takes."""

FREE_BITS = Option(
    "free_bits",
    "smallest value, in nats, with which the KL of each latent unit enters the objective, as --kl-floor is for their "
    "sum",
    0.0,
    NOT_NEGATIVE,
    metavar="NATS",
)
