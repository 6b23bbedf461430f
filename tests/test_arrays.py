"""What looks like an array is taken by position, or refused with its type and the cure; nothing else is on the GPU."""

import array

import numpy
import pytest

import scratchvae as sv
from scratchvae import latent_space, ops, plotting
from scratchvae.arrays import as_array, as_floats, is_array, scaling, type_name
from scratchvae.backend import array_module, asarray, device_of
from scratchvae.errors import DataError, DeviceError, InputError, ShapeError
from scratchvae.minibatches import labelled_minibatches

N, D = 40, 6
ROWS = numpy.random.default_rng(0).uniform(size=(N, D)).astype("f4")
LABELS = numpy.arange(N) % 2


# ---- imitations of other libraries' arrays, for where they are not installed


class Converts:
    """Has `__array__`, as h5py, xarray, dask and JAX; and a `get` that no one is to call, as pandas' tables."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return numpy.asarray(self.values, dtype=dtype)

    def get(self, key):
        raise AssertionError("nothing of this package looks keys up")


class Labelled(Converts):
    """A pandas Series or DataFrame: [] and operators look rows up by their labels, and NumPy's operators give way."""

    __array_ufunc__ = None
    dtype = property(lambda self: self.values.dtype)
    shape = property(lambda self: self.values.shape)
    ndim = property(lambda self: self.values.ndim)

    def __len__(self):
        return len(self.values)

    def __getitem__(self, index):
        raise AssertionError("rows are taken by position")

    def __mul__(self, other):
        return self

    __rmul__ = __add__ = __radd__ = __mul__


class Exports:
    """Has `__dlpack__` alone."""

    def __init__(self, values):
        self.values = values

    def __dlpack__(self, **options):
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.values.__dlpack_device__()


class Nullable(Converts):
    """Columns of pandas' own types, whose numbers come out as objects."""

    iloc = None

    def __init__(self, values, dtype="f4", missing=None):
        super().__init__(numpy.array(values).astype(object))
        if missing is not None:
            self.values[missing] = object()  # as pandas.NA, which is no number
        kind = type("Float32Dtype", (), {"kind": "f", "numpy_dtype": numpy.dtype(dtype)})()
        if self.values.ndim == 1:
            self.dtype = self.dtypes = kind
        else:
            self.columns = range(self.values.shape[1])
            self.dtypes = [kind for _ in self.columns]


class Subclass(numpy.ndarray):
    """A class of somebody else's."""


def refusing(error, **attributes):
    """An object that does not convert itself, for the reason of the error."""

    def convert(self, dtype=None, copy=None):
        raise error

    return type("Tensor", (), {"__array__": convert, "__module__": "torch"} | attributes)()


TAKEN = {
    "lists": lambda x: x.tolist(),
    "a tuple of rows": tuple,
    "memory": lambda x: memoryview(numpy.ascontiguousarray(x)),
    "__array__": Converts,
    "an index": Labelled,
    "DLPack": Exports,
    "nullable": lambda x: Nullable(x, x.dtype),
    "a subclass": lambda x: x.view(Subclass),
    "a matrix": lambda x: x.view(numpy.matrix) if x.ndim == 2 else x,
    "masked, nothing masked": numpy.ma.array,
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "little-endian": lambda x: x.astype(x.dtype.newbyteorder("<")),
    "read-only": lambda x: numpy.broadcast_to(x, x.shape),
    "every other": lambda x: x.repeat(2, axis=0)[::2],
    "pandas": lambda x: _pandas(x, lambda table: table),
    "pandas, shuffled": lambda x: _pandas(x[::-1], lambda table: table.iloc[::-1]),
    "pandas, nullable": lambda x: _pandas(x, lambda table: table.astype("Float32" if x.dtype == "f4" else "Int64")),
    "h5py": lambda x: _h5py(x),
    "h5py, big-endian": lambda x: _h5py(x.astype(x.dtype.newbyteorder(">"))),
    "xarray": lambda x: pytest.importorskip("xarray").DataArray(x),
    "dask": lambda x: pytest.importorskip("dask.array").from_array(x),
    "polars": lambda x: _polars(x),
    "torch": lambda x: pytest.importorskip("torch").from_numpy(x.copy()),
    "jax": lambda x: pytest.importorskip("jax.numpy").asarray(x),
}
FILES = []


def _pandas(x, change):
    pandas = pytest.importorskip("pandas")
    return change((pandas.Series if x.ndim == 1 else pandas.DataFrame)(x))


def _polars(x):
    polars = pytest.importorskip("polars")
    return (polars.Series if x.ndim == 1 else polars.DataFrame)(x)


def _h5py(x):
    file = pytest.importorskip("h5py").File.in_memory()
    FILES.append(file)  # a file that is closed is none to read from
    return file.create_dataset("x", data=x)


@pytest.fixture(params=TAKEN)
def taken(request):
    return TAKEN[request.param]


def same(received, expected):
    numpy.testing.assert_array_equal(sv.to_numpy(received), sv.to_numpy(expected))


@pytest.mark.parametrize("x", [ROWS, LABELS], ids=["floats", "labels"])
def test_what_converts_becomes_an_array_by_position(taken, x):
    for converted in (as_array("x", taken(x)), sv.to_numpy(taken(x)), asarray(taken(x))):
        assert type(converted) is numpy.ndarray and converted.dtype.isnative
        assert converted.dtype.kind == x.dtype.kind
        same(converted, x)


def test_floats_keep_their_width(taken):
    width = 8 if isinstance(taken(ROWS), list) else 4  # Python's numbers are of 64 bits
    assert as_floats("x", taken(ROWS)).itemsize == width


def test_models_take_it(taken):
    model, m2 = sv.VAE.mlp(D, 2, (4,)), sv.SemiSupervisedVAE.mlp(D, 2, 2, (4,))
    same(model.encode(taken(ROWS)).mean, model.encode(ROWS).mean)
    same(model.reconstruct(taken(ROWS)), model.reconstruct(ROWS))
    z = ROWS[:, :2]
    same(model.decode(taken(z)).mean, model.decode(as_array("z", taken(z))).mean)
    same(sv.elbo(model, taken(ROWS)), sv.elbo(model, ROWS))
    same(sv.log_likelihood(model, taken(ROWS), 3)[0], sv.log_likelihood(model, ROWS, 3)[0])
    same(m2.encode(taken(ROWS), taken(LABELS)).mean, m2.encode(ROWS, LABELS).mean)
    same(m2.reconstruct(taken(ROWS)), m2.reconstruct(ROWS))
    same(m2.sample(N, y=taken(LABELS)), m2.sample(N, y=LABELS))
    error = sv.classification_error(m2, taken(ROWS), taken(LABELS))
    assert error == sv.classification_error(m2, ROWS, LABELS)
    settings = {"epochs": 1, "batch_size": 16, "progress": False}
    histories = [
        sv.fit(sv.SemiSupervisedVAE.mlp(D, 2, 2, (4,)), x, labels=y, validation=x, **settings)
        for x, y in ((ROWS, LABELS), (taken(ROWS), taken(LABELS)))
    ]
    assert histories[0]["elbo"] == histories[1]["elbo"]
    assert histories[0]["validation_elbo"] == histories[1]["validation_elbo"]


def test_labels_are_taken_by_position(taken):
    same(sv.data.label_subset(taken(LABELS), 10), sv.data.label_subset(LABELS, 10))
    pairs = zip(*(labelled_minibatches(y, 7, sv.Noise(0)) for y in (taken(LABELS), LABELS)), strict=True)
    for received, expected in pairs:
        same(received[0], expected[0])
        same(received[1], expected[1])


@pytest.mark.parametrize("kind", ["PCA", "PPCA", "FactorAnalysis", "FastICA", "NMF"])
def test_factorizations_take_it(taken, kind):
    x, kind = as_array("x", taken(ROWS)), getattr(sv.linear, kind)
    model, expected = kind(2).fit(taken(ROWS)), kind(2).fit(x)
    same(model.transform(taken(ROWS)), expected.transform(x))
    same(model.inverse_transform(taken(ROWS[:, :2])), expected.inverse_transform(as_array("x", taken(ROWS[:, :2]))))
    if hasattr(kind, "score_samples"):
        same(model.score_samples(taken(ROWS)), expected.score_samples(x))


@pytest.mark.parametrize("kind", [sv.linear.LogisticRegression, sv.linear.GaussianNaiveBayes])
def test_classifiers_take_it(taken, kind):
    x = as_array("x", taken(ROWS))
    model, expected = kind().fit(taken(ROWS), taken(LABELS)), kind().fit(x, LABELS)
    same(model.predict_proba(taken(ROWS)), expected.predict_proba(x))
    assert model.score(taken(ROWS), taken(LABELS)) == expected.score(x, LABELS)


def test_ways_through_latent_space_take_it(taken):
    x, z, v = as_array("x", taken(ROWS)), taken(ROWS), taken(ROWS[0])
    same(latent_space.traversal(z, v, taken(ROWS[1])), latent_space.traversal(x, x[0], x[1]))
    same(latent_space.sweep(z, 1, v), latent_space.sweep(x, 1, x[0]))
    same(latent_space.linear_interpolation(z, z, 3), latent_space.linear_interpolation(x, x, 3))
    same(latent_space.spherical_interpolation(z, z, 3), latent_space.spherical_interpolation(x, x, 3))
    has = [bool(y) for y in LABELS]
    same(latent_space.logistic_direction(z, has), latent_space.logistic_direction(x, LABELS > 0))


def test_pictures_take_it(taken):
    model, m2 = sv.VAE.mlp(D, 2, (4,)), sv.SemiSupervisedVAE.mlp(D, 2, 2, (4,))
    axes = plotting.latent_scatter(model, taken(ROWS), taken(LABELS)).axes[0]
    for y, points in enumerate(axes.collections):
        same(points.get_offsets(), model.encode(ROWS).mean[LABELS == y])
    first = plotting.reconstructions(model, taken(ROWS), 3, image_shape=(2, 3)).axes[0].images[0].get_array()
    same(first, plotting.reconstructions(model, ROWS, 3, image_shape=(2, 3)).axes[0].images[0].get_array())
    plotting.images(taken(ROWS), image_shape=(2, 3))
    plotting.analogies(m2, taken(ROWS), taken(LABELS), image_shape=(2, 3))


def test_a_tensor_of_it_is_a_leaf(taken):
    leaf = sv.Tensor(taken(ROWS))
    assert type(leaf.data) is numpy.ndarray and "cpu" in repr(leaf)
    same(leaf, ROWS)


def test_a_tensor_still_aliases_its_array():
    assert sv.Tensor(ROWS).data is ROWS
    assert numpy.shares_memory(sv.Tensor(ROWS.view(Subclass)).data, ROWS)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (numpy.array(["yes", "no"] * 3, object), ["no", "yes"]),
        (numpy.array([b"yes", b"no"] * 3, object), [b"no", b"yes"]),
        (["yes", "no"] * 3, ["no", "yes"]),
        (Converts(numpy.array(["yes", "no"] * 3, object)), ["no", "yes"]),
        ([True, False] * 3, [False, True]),
        (array.array("b", [7, 3] * 3), [3, 7]),
    ],
)
def test_classes_may_be_strings_of_any_dtype(labels, classes):
    x = numpy.array([[0.0, 1], [1, 0], [2, 2], [3, 1], [4, 5], [5, 4]])
    for kind in (sv.linear.LogisticRegression, sv.linear.GaussianNaiveBayes):
        assert kind().fit(x, labels).classes_.tolist() == classes


# ---- what is refused

GRADIENT = "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
REFUSED = {
    "sparse": (lambda: _sparse("csr_array"), r"an array, received scipy\.csr_array \(x\.toarray\(\)\)$"),
    "sparse, a dictionary": (lambda: _sparse("dok_array"), r"received scipy\.dok_array \(x\.toarray\(\)\)$"),
    "masked entries": (
        lambda: numpy.ma.array(ROWS, mask=ROWS > 0.9),
        r"an array without masked entries, received a numpy\.MaskedArray with some \(x\.filled\(value\), or ",
    ),
    "masked entries in a list": (
        lambda: list(numpy.ma.array(ROWS, mask=ROWS > 0.9)),
        r"an array without masked entries, received a numpy\.MaskedArray with some \(x\.filled\(value\), or ",
    ),
    "ragged": (
        lambda: [[1.0, 2.0], [3.0]],
        r"an array, received a list that does not become one \(its rows have several lengths\)$",
    ),
    "objects": (lambda: ROWS.astype(object), r"numbers, received object \(x\.astype\('float32'\)\)$"),
    "complex": (lambda: ROWS.astype(complex), r"numbers, received complex128 \(x\.real, or abs\(x\)\)$"),
    "strings": (lambda: ROWS.astype(str), "numbers, received <U"),
    "bytes": (lambda: (255 * ROWS).astype("u2"), r"received uint16 \(x\.astype\('float32'\)\)$"),
    "listed integers": (lambda: [[1, 0]], r"numbers, received int64 \(numpy\.float32\(x\)\)$"),
    "times": (lambda: ROWS.astype("M8[s]"), r"numbers, received datetime64\[s\]$"),
    "a name": (lambda: "mnist", "an array, received str$"),
    "nothing": (lambda: None, "an array, received NoneType$"),
    "a dict": (lambda: {"x": ROWS}, "an array, received dict$"),
    "a generator": (lambda: (row for row in ROWS), r"an array, received generator \(list\(x\)\)$"),
    "a set of data": (lambda: sv.data.Dataset(ROWS), r"an array, received Dataset \(x\.images\)$"),
    "a class": (lambda: Converts, "an array, received type$"),
    "Tensors in a list": (lambda: [sv.Tensor(row) for row in ROWS], r"list that does not become one \(.*sv\.to_numpy"),
    "a Tensor": (lambda: sv.Tensor(ROWS), r"received a Tensor that does not become one \(.*sv\.to_numpy\(x\)"),
    "missing entries": (
        lambda: Nullable(ROWS, missing=(1, 2)),
        r"no missing entries, received a .*Nullable with some \(x\.dropna\(\) .*x\.fillna",
    ),
    "a gradient": (
        lambda: refusing(RuntimeError(GRADIENT)),
        r"received a torch\.Tensor that does not become one \(.*detach\(\)",
    ),
    "another device": (
        lambda: refusing(TypeError("can't convert cuda:0 to numpy. Use Tensor.cpu() to copy the tensor\nto host")),
        r"received a torch\.Tensor that does not become one \(.*Tensor\.cpu\(\) to copy the tensor\)$",
    ),
    "half precision": (
        lambda: refusing(TypeError("Got unsupported ScalarType BFloat16")),
        r"torch\.Tensor that does not become one \(x\.float\(\)\)$",
    ),
    "a lazy table": (
        lambda: type("LazyFrame", (), {"__module__": "polars", "collect": None})(),
        r"received polars\.LazyFrame \(x\.collect\(\)\)$",
    ),
    "torch, a gradient": (lambda: _torch(requires_grad=True), r"received a torch\.Tensor .*detach"),
    "torch, half precision": (lambda: _torch().bfloat16(), r"received a torch\.Tensor .*\(x\.float\(\)\)$"),
    "torch, sparse": (lambda: _torch().to_sparse(), r"received a torch\.Tensor .*to_dense"),
    "torch, nowhere": (lambda: _torch(device="meta"), r"received a torch\.Tensor that does not become one"),
    "pandas, missing": (
        lambda: _pandas(ROWS, lambda x: x.astype("Float32").mask(x > 0.9)),
        r"no missing entries, received a pandas\.DataFrame with some \(x\.dropna\(\) ",
    ),
    "pandas, NaN": (lambda: _pandas(ROWS, lambda x: x.mask(x > 0.9)), "finite numbers, received NaN or infinity$"),
    "pandas, words": (
        lambda: _pandas(ROWS, lambda x: x.assign(name="a")),
        r"columns of numbers, received a pandas\.DataFrame with others, name$",
    ),
    "xarray, many": (
        lambda: pytest.importorskip("xarray").Dataset({"x": (("n", "d"), ROWS)}),
        r"received a xarray\.Dataset that does not become one \(cannot directly convert an xarray\.Dataset",
    ),
    "h5py, a file": (lambda: _h5py(ROWS).file, r"an array, received h5py\.File$"),
    "polars, words": (
        lambda: pytest.importorskip("polars").DataFrame({"a": [1.0, 2.0], "name": ["b", "c"]}),
        "floating-point numbers, received object",
    ),
    "polars, lazy": (lambda: _polars(ROWS).lazy(), r"received polars\.LazyFrame \(x\.collect\(\)\)$"),
}


def _sparse(kind):
    return getattr(pytest.importorskip("scipy.sparse"), kind)(ROWS)


def _torch(**options):
    torch = pytest.importorskip("torch")
    options.setdefault("dtype", torch.float32)
    return torch.ones((N, D), **options)


ENTRANCES = {
    "data": sv.VAE.mlp(D, 2, (4,)).encode,
    "decode": lambda x: sv.VAE.mlp(D, 2, (4,), likelihood="gaussian").decode(x),
    "PCA.fit": lambda x: sv.linear.PCA().fit(x),
    "sweep": lambda x: latent_space.sweep(x, 0, ROWS[0]),
    "dequantize": lambda x: sv.data.dequantize(x, sv.Noise(0)),
    "Tensor": sv.Tensor,
}


OF_ESTIMATORS = {
    "sparse": r"a dense array, received a sparse scipy\.csr_array \(X\.toarray\(\)\)$",
    "sparse, a dictionary": r"a dense array, received a sparse scipy\.dok_array \(X\.toarray\(\)\)$",
    "complex": r"real numbers, received complex128 \(Complex data not supported: X\.real, or abs\(X\)\)$",
}  # what scikit-learn's checks ask for
TAKEN_BY_ESTIMATORS = {"bytes", "listed integers", "objects"}  # as float64


@pytest.mark.parametrize("name", REFUSED)
def test_the_rest_gets_one_sentence_with_its_type_and_the_cure(name):
    make, sentence = REFUSED[name]
    for entrance, enter in ENTRANCES.items():
        if "NaN" in name and entrance not in ("data", "PCA.fit"):
            continue
        if name in TAKEN_BY_ESTIMATORS and entrance == "PCA.fit":
            continue
        cure = OF_ESTIMATORS.get(name, sentence) if entrance == "PCA.fit" else sentence
        if name == "a Tensor" and entrance == "Tensor":
            cure = r"received a Tensor \(x\.data is its array\)$"
        with pytest.raises(InputError, match=f"^{entrance}: expected .*{cure}") as raised:
            enter(make())
        assert "gpu" not in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("x", [Labelled(ROWS), ROWS.view(numpy.matrix), numpy.ma.array(ROWS), Exports(ROWS)])
def test_primitives_compute_on_arrays_alone(x):
    """The product with a matrix would be a product of matrices, and that with a table one by its labels."""
    assert not is_array(x)
    for call in (lambda: ops.exp(x), lambda: sv.Tensor(ROWS) * x, lambda: ops.add(x, sv.Tensor(ROWS))):
        with pytest.raises(InputError, match=r"expected an array or a number, received .* \(sv\.to_numpy\(x\)\)$"):
            call()


@pytest.mark.parametrize("x", [Labelled(ROWS), Converts(ROWS), [1.0], None, ROWS.view(numpy.matrix)])
def test_nothing_else_has_a_device(x):
    for function in (array_module, device_of):
        with pytest.raises(InputError, match="array_module: expected an array or a number, received "):
            function(x)


def test_a_subclass_of_numpys_belongs_to_numpy():
    assert array_module(ROWS.view(Subclass)) is numpy and device_of(ROWS.view(Subclass)) == "cpu"


def test_arrays_of_the_gpu_pass_as_they_are(gpu):
    x = gpu.asarray(ROWS)
    assert as_array("x", x) is x and as_floats("x", x) is x and is_array(x)
    with pytest.raises(DataError, match=r"x: expected .* numbers, received int64 \(x\.astype"):
        as_floats("x", gpu.asarray(LABELS))
    model = sv.VAE.mlp(D, 2, (4,)).to("gpu")
    for rows in (ROWS, ROWS.tolist(), Converts(ROWS)):
        with pytest.raises(DeviceError, match="data: .* on the model's device, gpu, received one on cpu"):
            model.encode(rows)
        assert numpy.isfinite(sv.elbo(model, rows)).all()  # which moves them


def test_an_array_that_is_right_already_is_itself():
    for x in (ROWS, ROWS.astype("f8"), LABELS, ROWS[::2], ROWS.T):
        assert as_array("x", x) is x


@pytest.mark.parametrize(
    ("low", "high", "hint"),
    [
        (0, 16, "divide by 16, the largest value"),
        (0, 1.5, "divide by 1.5, the largest value"),
        (0, 127, "divide by 127, the largest value"),
        (3, 128, "divide by 255 if these are 8-bit pixels, else by 128, the largest value"),
        (0, 255, "divide by 255"),
        (0, 255.5, "divide by 255.5, the largest value"),
        (-1, 1, "rescale them: (x - x.min()) / (x.max() - x.min())"),
    ],
)
def test_the_advice_brings_values_into_the_unit_interval(low, high, hint):
    assert scaling(low, high) == hint


def test_the_names_of_types():
    assert [type_name(x) for x in (1.0, ROWS, sv.Tensor(ROWS), numpy.float32(1))] == [
        "float",
        "numpy.ndarray",
        "Tensor",
        "numpy.float32",
    ]


# ---- likelihoods and posteriors of another shape than the model needs


class Network(sv.nn.Module):
    """z -> zeros of a shape behind the batch's: what a decoder or an encoder with a mistake gives."""

    def __init__(self, *shape, keep=None):
        self.shape, self.keep = shape, keep
        self.scale = sv.Tensor(numpy.ones((), dtype=numpy.float32))

    def __call__(self, x):
        batch = x.shape[:-1] if self.keep is None else x.shape[: self.keep]
        return numpy.zeros((*batch, *self.shape), dtype=numpy.float32) * self.scale


def image_vae(side, decoder, latent_size=2, encoded=4):
    encoder = sv.models.GaussianEncoder(Network(encoded, keep=1))
    return sv.VAE(encoder, decoder, latent_size, (side, side, 1))


def scores(model, x):
    return {
        "fit": lambda: sv.fit(model, x, epochs=1, progress=False),
        "fit, iwae": lambda: sv.fit(model, x, epochs=1, progress=False, objective="iwae", n_samples=2),
        "evaluate": lambda: sv.evaluate(model, x),
        "log_likelihood": lambda: sv.log_likelihood(model, x, 3),
        "elbo": lambda: sv.elbo(model, x),
        "model.elbo": lambda: model.elbo(x, sv.Noise(0)),
    }


@pytest.mark.filterwarnings("ignore:posterior collapse")
@pytest.mark.parametrize("score", scores(None, None))
@pytest.mark.parametrize("decoder", [sv.models.BernoulliDecoder, sv.models.GaussianDecoder])
def test_a_decoder_of_images_with_vectors_for_events_is_refused(decoder, score):
    """Also of eight images of 8 x 8, where shapes fit by accident."""
    x = numpy.full((8, 8, 8, 1), 0.5, dtype=numpy.float32)
    with pytest.raises(ShapeError, match=r"^decoder: expected a log_prob with one .* shape \(\d, 8\), .*event_ndim=3"):
        scores(image_vae(8, decoder(Network(8, 8, 1))), x)[score]()
    scores(image_vae(8, decoder(Network(8, 8, 1), event_ndim=3)), x)[score]()


@pytest.mark.parametrize("score", scores(None, None))
def test_networks_of_other_shapes_are_refused(score):
    x = numpy.full((8, 8, 8, 1), 0.5, dtype=numpy.float32)
    decoder = sv.models.GaussianDecoder(Network(1, 8, 1), event_ndim=3)  # it would broadcast against x
    with pytest.raises(ShapeError, match=r"^decoder: expected a distribution of shape \(\d, 8, 8, 8, 1\), received"):
        scores(image_vae(8, decoder), x)[score]()
    decoder = sv.models.GaussianDecoder(Network(8, 8, 1, keep=0), event_ndim=3)  # one mean for all z
    with pytest.raises(ShapeError, match=r"^decoder: .*, received \(8, 8, 1\)$"):
        scores(image_vae(8, decoder), x)[score]()
    decoder = sv.models.GaussianDecoder(Network(8, 8, 1), event_ndim=3)
    with pytest.raises(ShapeError, match=r"^encoder: expected a distribution of shape \(8, 2\), received \(8, 3\)$"):
        scores(image_vae(8, decoder, encoded=6), x)[score]()


@pytest.mark.filterwarnings("ignore:posterior collapse")
def test_likelihoods_of_classes_are_looked_at_too():
    x, y = numpy.full((8, 8, 8, 1), 0.5, dtype=numpy.float32), numpy.arange(8) % 2

    class Encoder(sv.nn.Module):
        def __init__(self, k):
            self.k, self.scale = k, sv.Tensor(numpy.ones((), dtype=numpy.float32))

        def __call__(self, x, y):
            batch = numpy.broadcast_shapes(y.shape[:-1], x.shape[:1])
            mean = numpy.ones((*batch, self.k), dtype=numpy.float32) * self.scale
            return sv.distributions.Normal(mean, 0 * mean)

    def model(event_ndim, k=2):
        decoder = sv.models.BernoulliDecoder(Network(8, 8, 1), event_ndim)
        classifier = sv.models.Classifier(Network(2, keep=1))
        return sv.SemiSupervisedVAE(classifier, Encoder(k), decoder, 2, 2, (8, 8, 1))

    calls = [
        lambda model: sv.fit(model, x, labels=y, epochs=1, progress=False),
        lambda model: sv.evaluate(model, x),
        lambda model: sv.log_likelihood(model, x, 3),
        lambda model: sv.elbo(model, x),
        lambda model: model.supervised(x, y, sv.Noise(0)),
    ]
    for call in calls:
        call(model(3))
        with pytest.raises(ShapeError, match="^decoder: expected a log_prob with one .*event_ndim=3"):
            call(model(1))
        with pytest.raises(ShapeError, match=r"^encoder: expected a distribution of shape \(.*8, 2\), received \("):
            call(model(3, k=3))


def test_a_distribution_of_ones_own_need_not_have_a_shape():
    class Laplace(sv.nn.Module):
        def __init__(self, mean, axes):
            self.mean, self.axes = mean, axes

        def log_prob(self, x):
            return ops.sum(-ops.abs(x - self.mean) - numpy.log(2).item(), axis=self.axes)

    class Decoder(sv.nn.Module):
        likelihood = Laplace

        def __init__(self, axes):
            self.network, self.axes = Network(8, 8, 1), axes

        def __call__(self, z):
            return Laplace(self.network(z), self.axes)

    x = numpy.full((8, 8, 8, 1), 0.5, dtype=numpy.float32)
    value = sv.elbo(image_vae(8, Decoder((-3, -2, -1))), x)
    numpy.testing.assert_allclose(value, -64 * (0.5 + numpy.log(2)), rtol=1e-6)
    with pytest.raises(ShapeError, match="event_ndim=3"):
        sv.elbo(image_vae(8, Decoder(-1)), x)


def test_images_whose_number_comes_last_are_refused_with_the_transpose():
    model = sv.VAE.convolutional((8, 8, 3), 2, (4,))
    with pytest.raises(ShapeError, match=r"received shape \(8, 8, 3, 5\) \(rows come first: x\.transpose\(3, 0"):
        model.encode(numpy.zeros((8, 8, 3, 5), dtype=numpy.float32))
