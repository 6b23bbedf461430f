"""A variational autoencoder in NumPy alone: every gradient is written by hand, and nothing is hidden.

    p(z) = Normal(0, I)      p(x | z) = Bernoulli(sigmoid(a))       with  a = h2 W4 + b4,  h2 = relu(z W3 + b3)
    q(z | x) = Normal(m, diag(s^2))                                 with  (m, log s) = h1 W2 + b2,  h1 = relu(x W1 + b1)

    L(x) = log p(x | z) - KL(q(z | x) || p(z)),    z = m + s e,    e ~ Normal(0, I)

Read `elbo` from top to bottom, then `gradients` from top to bottom, which follows `elbo` from its end. A test compares
both with the package, whose engine finds the same numbers from the forward pass alone. The example takes about a minute
on two cores, and writes figures/vae_from_nothing.png.

Source: deck, "Optimizing the ELBO" to "Mini-batch gradient estimation"; Kingma & Welling (2014).
"""

import argparse

import numpy as np

import scratchvae as sv  # for the drawn digits and the picture; the model needs none of it


def initial_parameters(rng, observed=784, hidden=400, latent=20):
    """Returns [W1, b1, W2, b2, W3, b3, W4, b4]: Glorot uniform weights and zero biases, float32."""
    parameters = []
    for shape in [(observed, hidden), (hidden, 2 * latent), (latent, hidden), (hidden, observed)]:
        bound = np.sqrt(6 / sum(shape))
        parameters += [rng.uniform(-bound, bound, shape).astype(np.float32), np.zeros(shape[1], dtype=np.float32)]
    return parameters


def elbo(parameters, x, e):
    """Returns L(x) in nats, (N,), and the arrays for the gradients.   x (N, D) in [0, 1], e (N, K) standard normal"""
    W1, b1, W2, b2, W3, b3, W4, b4 = parameters
    h1 = np.maximum(x @ W1 + b1, 0)
    m, log_s = np.split(h1 @ W2 + b2, 2, axis=1)
    s = np.exp(log_s)
    z = m + s * e
    h2 = np.maximum(z @ W3 + b3, 0)
    a = h2 @ W4 + b4
    softplus_a = np.maximum(a, 0) + np.log1p(np.exp(-np.abs(a)))
    log_likelihood = (x * a - softplus_a).sum(axis=1)
    kl = 0.5 * (m * m + s * s - 2 * log_s - 1).sum(axis=1)
    return log_likelihood - kl, (h1, m, s, z, h2, a, softplus_a)


def gradients(parameters, x, e, saved):
    """Returns d/dW and d/db of the batch mean of L, in the order of the parameters, by the chain rule from the end."""
    W1, b1, W2, b2, W3, b3, W4, b4 = parameters
    h1, m, s, z, h2, a, softplus_a = saved
    d_a = (x - np.exp(a - softplus_a)) / len(x)  # d log p / da = x - sigmoid(a)
    d_h2 = (d_a @ W4.T) * (h2 > 0)
    d_z = d_h2 @ W3.T
    d_m = d_z - m / len(x)  # through z = m + s e, and from the KL
    d_log_s = d_z * s * e - (s * s - 1) / len(x)
    d_m_log_s = np.concatenate([d_m, d_log_s], axis=1)
    d_h1 = (d_m_log_s @ W2.T) * (h1 > 0)
    return [
        *(x.T @ d_h1, d_h1.sum(axis=0)),
        *(h1.T @ d_m_log_s, d_m_log_s.sum(axis=0)),
        *(z.T @ d_h2, d_h2.sum(axis=0)),
        *(h2.T @ d_a, d_a.sum(axis=0)),
    ]


class Adam:
    """w <- w + rate m^ / (sqrt(v^) + eps), which ascends.   Source: Kingma & Ba (2015), algorithm 1."""

    def __init__(self, parameters, rate=1e-3, b1=0.9, b2=0.999, eps=1e-8):
        self.parameters, self.rate, self.b1, self.b2, self.eps, self.t = parameters, rate, b1, b2, eps, 0
        self.m = [np.zeros_like(w) for w in parameters]
        self.v = [np.zeros_like(w) for w in parameters]

    def step(self, gradients):
        self.t += 1
        for w, g, m, v in zip(self.parameters, gradients, self.m, self.v, strict=True):
            m += (1 - self.b1) * (g - m)
            v += (1 - self.b2) * (g * g - v)
            m_hat, v_hat = m / (1 - self.b1**self.t), v / (1 - self.b2**self.t)
            w += self.rate * m_hat / (np.sqrt(v_hat) + self.eps)


def train(x, epochs, batch_size=128, latent=20, seed=0):
    """Parameters after some passes over the rows of x; prints the mean ELBO of each."""
    rng = np.random.default_rng(seed)
    parameters = initial_parameters(rng, observed=x.shape[1], latent=latent)
    adam = Adam(parameters)
    for epoch in range(epochs):
        total = 0.0
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch_size):
            batch = x[order[start : start + batch_size]]
            e = rng.standard_normal((len(batch), latent), dtype=np.float32)
            values, saved = elbo(parameters, batch, e)
            adam.step(gradients(parameters, batch, e, saved))
            total += values.sum()
        print(
            f"epoch {epoch + 1:2d}   ELBO {total / len(x):8.2f} nats a digit (cross-entropy on grey values)", flush=True
        )
    return parameters


def decode(parameters, z):
    """Returns the mean of p(x | z).   (N, K) -> (N, D)"""
    *_, W3, b3, W4, b4 = parameters
    return 1 / (1 + np.exp(-(np.maximum(z @ W3 + b3, 0) @ W4 + b4)))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="use 2,000 digits and 2 epochs, to see that it works")
    parser.add_argument("--out", default="figures", help="folder for the picture (default: %(default)s)")
    options = parser.parse_args(arguments)
    digits, _ = sv.data.load("drawn-digits")
    x = digits.images.reshape(len(digits), 784)
    parameters = train(x[:2000] if options.quick else x, epochs=2 if options.quick else 20)
    z = np.random.default_rng(1).standard_normal((100, 20), dtype=np.float32)
    from scratchvae.plotting import images, save_figure

    save_figure(images(decode(parameters, z)), f"{options.out}/vae_from_nothing.png")


if __name__ == "__main__":
    main()
