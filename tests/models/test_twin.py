"""The same VAE written in PyTorch: from the same start and with the same noise both take the same hundred steps."""

import math

import numpy
import pytest

import scratchvae as sv
from scratchvae.minibatches import labelled_minibatches
from scratchvae.models.real_decoders import SMALLEST_STD
from scratchvae.optim import Adam

torch = pytest.importorskip("torch")
M, N_STEPS = 32, 100


class Twin:
    """Encoder D -> H -> 2 K and decoder K -> H -> D in PyTorch, from the values of a scratchvae model."""

    def __init__(self, model):
        self.parameters = {
            name: torch.tensor(x.data.copy(), requires_grad=True) for name, x in model.named_parameters().items()
        }
        self.gaussian = "decoder.raw_log_std" in self.parameters

    def layer(self, x, name):
        return x @ self.parameters[f"{name}.weight"] + self.parameters[f"{name}.bias"]

    def distributions(self, x, e):
        """q(z | x), z, and p(x | z), by torch.distributions."""
        code = self.layer(torch.relu(self.layer(x, "encoder.network.layers.0")), "encoder.network.layers.1")
        mean, log_std = code.chunk(2, dim=-1)
        q = torch.distributions.Normal(mean, log_std.exp())
        z = mean + log_std.exp() * e
        hidden = torch.relu(self.layer(z, "decoder.network.layers.0"))
        output = self.layer(hidden, "decoder.network.layers.1")
        if self.gaussian:
            likelihood = torch.distributions.Normal(output, SMALLEST_STD + self.parameters["decoder.raw_log_std"].exp())
        else:
            likelihood = torch.distributions.Bernoulli(logits=output, validate_args=False)
        return q, z, likelihood

    def terms(self, x, e):
        """Reconstruction and KL, (M,) each."""
        q, _, likelihood = self.distributions(x, e)
        prior = torch.distributions.Normal(torch.zeros_like(q.mean), torch.ones_like(q.mean))
        return likelihood.log_prob(x).sum(-1).mean(0), torch.distributions.kl_divergence(q, prior).sum(-1)

    def bound(self, x, e):
        """log (1/S) sum over s of p(x | z) p(z) / q(z | x), (M,)."""
        q, z, likelihood = self.distributions(x, e)
        prior = torch.distributions.Normal(torch.zeros_like(z), torch.ones_like(z))
        log_w = likelihood.log_prob(x).sum(-1) + prior.log_prob(z).sum(-1) - q.log_prob(z).sum(-1)
        return log_w.logsumexp(0) - math.log(len(e))

    def descend(self, batches, rate, kl_weight=lambda step: 1.0, clip_norm=None, objective="elbo"):
        optimizer = torch.optim.Adam(self.parameters.values(), lr=rate)
        for step, (x, e) in enumerate(batches):
            optimizer.zero_grad()
            x, e = torch.tensor(x), torch.tensor(e, dtype=torch.float64)
            if objective == "iwae":
                (-self.bound(x, e).mean()).backward()
            else:
                reconstruction, kl = self.terms(x, e)
                (kl_weight(step) * kl - reconstruction).mean().backward()
            if clip_norm is not None:
                norm = torch.sqrt(sum((x.grad**2).sum() for x in self.parameters.values()))
                for parameter in self.parameters.values():
                    parameter.grad *= min(1.0, clip_norm / float(norm))
            optimizer.step()

    def largest_difference(self, model):
        return max(
            float(abs(x.data - self.parameters[name].detach().numpy()).max())
            for name, x in model.named_parameters().items()
        )


SETTINGS = {
    "bernoulli": {"likelihood": "bernoulli"},
    "gaussian": {"likelihood": "gaussian", "std": "learned"},
}


@pytest.fixture
def digits():
    return sv.data.draw_digits(320, seed=0).images.reshape(320, 784).astype(numpy.float64)


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_hundred_steps_by_hand(kind, digits):
    model = sv.VAE.mlp(input_size=784, latent_size=20, hidden=(100,), **SETTINGS[kind]).to(dtype=numpy.float64)
    twin = Twin(model)
    batches = [
        (digits[M * (step % 10) : M * (step % 10 + 1)], sv.Noise(5, step).normal("z", (1, M, 20)))
        for step in range(N_STEPS)
    ]

    x, e = batches[0]
    expected = [term.detach().numpy() for term in twin.terms(torch.tensor(x), torch.tensor(e, dtype=torch.float64))]
    received = [term.data for term in model.elbo_terms(x, sv.Noise(5, 0))]
    numpy.testing.assert_allclose(received, expected, rtol=1e-12)

    start = {name: array.copy() for name, array in model.state().items()}
    optimizer = Adam(model.parameters(), learning_rate=1e-3)
    for step, (x, _) in enumerate(batches):
        loss = -sv.ops.mean(model.elbo(x, sv.Noise(5, step)))
        sv.grad(loss, optimizer.parameters, out=optimizer.gradients)
        optimizer.step()
    twin.descend(batches, rate=1e-3)
    assert twin.largest_difference(model) < 1e-9
    moved = [abs(x.data - start[name]).max() for name, x in model.named_parameters().items()]
    assert min(moved) > 0.01, "every parameter has gone a long way"


@pytest.mark.parametrize("kind", SETTINGS)
def test_fit_takes_the_steps_that_its_docstring_says(kind):
    """Batches in the order of Noise(seed, epoch), noise of Noise(seed, step), a partial last batch, every option."""
    rng = numpy.random.default_rng(0)
    x = 1 / (1 + numpy.exp(-4 * rng.standard_normal((45, 2)) @ rng.standard_normal((2, 30))))
    settings = {"input_size": 30, "latent_size": 3, "hidden": (16,)} | SETTINGS[kind]
    model = sv.VAE.mlp(**settings).to(dtype=numpy.float64)
    twin = Twin(model)

    def warm_up(step):
        return min(1.0, 0.1 + step / 20)

    batches = []
    for epoch in range(10):
        order = sv.Noise(7, epoch).permutation("order", 45)
        for rows in (order[:20], order[20:40], order[40:]):
            batches.append((x[rows], sv.Noise(7, len(batches)).normal("z", (2, len(rows), 3))))
    history = sv.fit(
        model,
        x,
        epochs=10,
        batch_size=20,
        seed=7,
        n_samples=2,
        learning_rate=0.01,
        kl_weight=warm_up,
        clip_norm=0.5,
        progress=False,
    )
    twin.descend(batches, rate=0.01, kl_weight=warm_up, clip_norm=0.5)
    assert twin.largest_difference(model) < 1e-9
    assert history["step"] == [3 * epoch for epoch in range(1, 11)]


@pytest.mark.parametrize("kind", SETTINGS)
def test_fit_by_importance_weights(kind):
    rng = numpy.random.default_rng(0)
    x = 1 / (1 + numpy.exp(-4 * rng.standard_normal((40, 2)) @ rng.standard_normal((2, 30))))
    model = sv.VAE.mlp(input_size=30, latent_size=3, hidden=(16,), **SETTINGS[kind]).to(dtype=numpy.float64)
    twin = Twin(model)
    batches = []
    for epoch in range(25):
        for rows in sv.data.minibatches(40, 10, sv.Noise(7, epoch)):
            batches.append((x[rows], sv.Noise(7, len(batches)).normal("z", (5, 10, 3))))
    options = {"n_samples": 5, "objective": "iwae", "learning_rate": 0.01, "seed": 7, "progress": False}
    sv.fit(model, x, epochs=25, batch_size=10, **options)
    twin.descend(batches, rate=0.01, objective="iwae")
    assert twin.largest_difference(model) < 1e-9


class TwinOfM2:
    """M2 of three perceptrons with one hidden layer of softplus in PyTorch, from the values of a scratchvae model."""

    def __init__(self, model):
        self.parameters = {
            name: torch.tensor(x.data.copy(), requires_grad=True) for name, x in model.named_parameters().items()
        }
        self.n_classes = model.n_classes

    def layer(self, x, name):
        return x @ self.parameters[f"{name}.weight"] + self.parameters[f"{name}.bias"]

    def bound(self, x, y, e):
        """L(x, y) for one class of each row, y (M,) and e (S, M, K)."""
        y = torch.nn.functional.one_hot(y, self.n_classes).double()
        hidden = self.layer(x, "encoder.network.body") + y @ self.parameters["encoder.network.class_weight"]
        code = self.layer(torch.nn.functional.softplus(hidden), "encoder.network.head.layers.0")
        mean, log_std = code.chunk(2, dim=-1)
        q = torch.distributions.Normal(mean, log_std.exp())
        z = mean + log_std.exp() * e
        beside = torch.cat([y.expand(*z.shape[:-1], self.n_classes), z], dim=-1)
        hidden = torch.nn.functional.softplus(self.layer(beside, "decoder.network.layers.0"))
        likelihood = torch.distributions.Bernoulli(logits=self.layer(hidden, "decoder.network.layers.1"))
        prior = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
        kl = torch.distributions.kl_divergence(q, prior).sum(-1)
        return likelihood.log_prob(x).sum(-1).mean(0) - kl - math.log(self.n_classes)

    def classifier(self, x):
        hidden = torch.nn.functional.softplus(self.layer(x, "classifier.network.layers.0"))
        return torch.distributions.Categorical(logits=self.layer(hidden, "classifier.network.layers.1"))

    def j(self, x, y, others, e, e_others, alpha, n_labelled, n_others):
        """(1/N) [N^s/M^s sum of (L + alpha log q(y | x)) + N^u/M^u sum of U], the sum over classes a loop."""
        q = self.classifier(others)
        u = q.entropy()
        for k in range(self.n_classes):
            every = torch.full((len(others),), k)
            u = u + q.probs[:, k] * self.bound(others, every, e_others[:, k])
        labelled = self.bound(x, y, e) + alpha * self.classifier(x).log_prob(y)
        total = n_labelled / len(x) * labelled.sum() + n_others / len(others) * u.sum()
        return total / (n_labelled + n_others)


@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
def test_a_hundred_steps_of_m2():
    """`fit` with labels against J~ by PyTorch: the same rows, labels and noise, a partial last batch."""
    rng = numpy.random.default_rng(0)
    y = rng.permutation(numpy.arange(120) % 4)
    x = (rng.random((120, 30)) < 1 / (1 + numpy.exp(-3 * rng.standard_normal((4, 30))[y]))).astype(float)
    labels = sv.data.label_subset(y, 20, seed=0)
    model = sv.SemiSupervisedVAE.mlp(30, 4, 3, (16,), "softplus").to(dtype=numpy.float64)
    start = {name: array.copy() for name, array in model.state().items()}
    twin = TwinOfM2(model)
    optimizer = torch.optim.Adam(twin.parameters.values(), lr=0.01)
    step = 0
    for epoch in range(15):
        for rows, given in labelled_minibatches(labels, 16, sv.Noise(7, epoch)):
            noise, m = sv.Noise(7, step), len(given)
            e = noise.child("labelled").normal("z", (2, m, 3)), noise.normal("z", (2, 4, len(rows) - m, 3))
            tensors = [torch.tensor(part) for part in (x[rows[:m]], given, x[rows[m:]])]
            e = [torch.tensor(part, dtype=torch.float64) for part in e]
            optimizer.zero_grad()
            (-twin.j(*tensors, *e, alpha=0.6, n_labelled=20, n_others=100)).backward()
            optimizer.step()
            step += 1
    options = {"batch_size": 16, "learning_rate": 0.01, "seed": 7, "n_samples": 2, "progress": False}
    sv.fit(model, x, epochs=15, labels=labels, alpha=0.6, **options)
    assert step == 105
    for name, parameter in model.named_parameters().items():
        assert abs(parameter.data - twin.parameters[name].detach().numpy()).max() < 1e-9, name
        assert abs(parameter.data - start[name]).max() > 0.01, "every parameter has gone a long way"


class TwinOfMolecules:
    """MoleculeVAE in PyTorch, from the values of a scratchvae model: its GRUs, convolutions and distributions."""

    def __init__(self, model):
        self.parameters = {
            name: torch.tensor(x.data.copy(), requires_grad=True) for name, x in model.named_parameters().items()
        }
        self.n_symbols = len(model.alphabet) + 1
        self.centre, self.unit = (
            torch.tensor(x.copy()) for x in (model.property_decoder.centre, model.property_decoder.unit)
        )

    def part(self, prefix):
        return {
            name.removeprefix(f"{prefix}."): x for name, x in self.parameters.items() if name.startswith(f"{prefix}.")
        }

    def layer(self, x, name):
        return x @ self.parameters[f"{name}.weight"] + self.parameters[f"{name}.bias"]

    def gru(self, x, lengths, name, h0=None, constant_weight=None):
        """All outputs (M, T, H) and the last of each sequence, by torch.nn.GRU; x (M, T, inputs)."""
        p = self.part(name)
        weight = p["weight"] if constant_weight is None else torch.cat([p["weight"], constant_weight])
        size = p["recurrent"].shape[0]
        values = {
            "weight_ih_l0": weight.T,
            "weight_hh_l0": p["recurrent"].T,
            "bias_ih_l0": p["bias"],
            "bias_hh_l0": torch.cat([torch.zeros(2 * size, dtype=torch.float64), p["recurrent_bias"]]),
        }
        layer = torch.nn.GRU(len(weight), size, batch_first=True).double()
        h0 = torch.zeros(len(x), size, dtype=torch.float64) if h0 is None else h0
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        outputs, last = torch.func.functional_call(layer, values, (packed, h0[None]))
        return torch.nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True)[0], last[0]

    def one_hot(self, x):
        return torch.nn.functional.one_hot(x, self.n_symbols).double()

    def code(self, x, lengths):
        """The mean and the log standard deviation of q(z | x), side by side."""
        if "encoder.table" in self.parameters:
            h = self.parameters["encoder.table"][x[:, : int(lengths.max())]]
            within = torch.arange(h.shape[1]) < lengths[:, None]
            for i in range(3):
                kernel, bias = (self.parameters[f"encoder.layers.{i}.{name}"] for name in ("kernel", "bias"))
                h = (h * within[..., None]).transpose(1, 2)
                h = torch.nn.functional.conv1d(h, kernel[:, 0].permute(2, 1, 0), bias, stride=2, padding=2)
                h = torch.relu(h).transpose(1, 2)
                within = within[:, ::2]
            h = (h * within[..., None]).flatten(1)
            return h @ self.parameters["encoder.linear.weight"][: h.shape[1]] + self.parameters["encoder.linear.bias"]
        flipped = torch.stack([torch.cat([row[:n].flip(0), row[n:]]) for row, n in zip(x, lengths, strict=True)])
        last = [
            self.gru(self.one_hot(rows), lengths, f"encoder.gru.{way}")[1]
            for rows, way in ((x, "forwards"), (flipped, "backwards"))
        ]
        return self.layer(torch.cat(last, dim=1), "encoder.linear")

    def terms(self, x, t, e):
        """Reconstruction, log p(t | z) and KL, (M,) each, for one draw of z."""
        lengths = (x == 0).int().argmax(dim=1)
        mean, log_std = self.code(x, lengths).chunk(2, dim=-1)
        q = torch.distributions.Normal(mean, log_std.exp())
        z = mean + log_std.exp() * e
        before = torch.nn.functional.pad(x, (1, 0))[:, :-1]
        inputs = torch.cat([self.one_hot(before), z[:, None].expand(-1, x.shape[1], -1)], dim=-1)
        h0, constant = torch.tanh(self.layer(z, "decoder.initial")), self.parameters["decoder.constant_weight"]
        h, _ = self.gru(inputs, lengths + 1, "decoder.gru", h0, constant)
        scored = torch.arange(h.shape[1]) <= lengths[:, None]
        log_p = torch.distributions.Categorical(logits=self.layer(h, "decoder.head")).log_prob(x[:, : h.shape[1]])
        network = "property_decoder.network.layers"
        f = self.layer(torch.tanh(self.layer(z, f"{network}.0")), f"{network}.1")
        std = self.parameters["property_decoder.log_std"].exp() * self.unit
        known = ~t.isnan()
        log_t = torch.distributions.Normal(self.centre + self.unit * f, std).log_prob(t.nan_to_num())
        prior = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
        kl = torch.distributions.kl_divergence(q, prior).sum(-1)
        return (log_p * scored).sum(1), (log_t * known).sum(1), kl


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["convolutional", "recurrent"])
def test_a_hundred_steps_of_molecules(encoder):
    """`fit` with properties against PyTorch: the same rows and noise, a partial last batch, alpha and a KL's weight."""
    rng = numpy.random.default_rng(0)
    strings = ["".join(rng.choice(["C", "Cl", "O"], n)) for n in [9, 1, 2, *rng.integers(1, 10, 17)]]
    t = rng.standard_normal((20, 2)) * [1.5, 60] + [2.5, 330]
    t[rng.random(t.shape) < 0.2] = numpy.nan
    units = {"properties": ("logP", "weight"), "property_means": (2.5, 330.0), "property_stds": (1.5, 60.0)}
    model = sv.MoleculeVAE.gru(["C", "Cl", "O"], 9, 2, 6, encoder, **units).to(dtype=numpy.float64)
    start, twin = {name: array.copy() for name, array in model.state().items()}, TwinOfMolecules(model)
    x, optimizer, step = model.observations(strings), torch.optim.Adam(twin.parameters.values(), lr=0.01), 0
    for epoch in range(34):
        for rows in sv.data.minibatches(20, 8, sv.Noise(7, epoch)):
            e = torch.tensor(sv.Noise(7, step).normal("z", (1, len(rows), 2))[0], dtype=torch.float64)
            optimizer.zero_grad()
            terms = twin.terms(torch.tensor(x[rows].astype(int)), torch.tensor(t[rows]), e)
            (-terms[0] - 0.5 * terms[1] + 0.3 * terms[2]).mean().backward()
            optimizer.step()
            if step == 0:
                with sv.no_grad():
                    received = model.joint_terms(x[rows], model.properties(t[rows]), sv.Noise(7, 0))
                numpy.testing.assert_allclose(received, [term.detach() for term in terms], rtol=0, atol=1e-12)
            step += 1
    options = {"batch_size": 8, "learning_rate": 0.01, "seed": 7, "alpha": 0.5, "kl_weight": 0.3, "progress": False}
    sv.fit(model, strings, 34, properties=t, **options)
    assert step == 102
    for name, parameter in model.named_parameters().items():
        assert abs(parameter.data - twin.parameters[name].detach().numpy()).max() < 1e-9, name
        assert abs(parameter.data - start[name]).max() > 0.01, "every parameter has gone a long way"
