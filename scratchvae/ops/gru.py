"""The gated recurrent unit (GRU), over the rows without padding that `packed_rows` describes.

`gru_step` is the definition: one step, made of small operations. `gru` runs all steps as one primitive, as `lstm` does.

Source: Cho, van Merrienboer, Gulcehre, Bahdanau, Bougares, Schwenk & Bengio (2014), equations 5 to 8, with r applied
after the product with U instead of before it, so that one product serves all three blocks: the form of cuDNN and
torch.nn.GRU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from scratchvae.autodiff import Tensor, grad, primitive
from scratchvae.backend import array_module, product, sum_of_leading_axes
from scratchvae.errors import ShapeError
from scratchvae.kernels import Kernel
from scratchvae.ops.activations import sigmoid, tanh
from scratchvae.ops.packed_rows import blocks, check_rows, check_types, rows_before, steps
from scratchvae.ops.reductions import sum
from scratchvae.ops.structure import concatenate, reshape


def gru_step(inputs: Any, recurrent: Any, recurrent_bias: Any, h: Any, constant: Any = None) -> Any:
    """h' = (1 - u) n + u h,   r, u = sigmoid(x_r + h U_r), sigmoid(x_u + h U_u),   n = tanh(x_n + r (h U_n + b_n))

    :Rule: that of its operations
    :Domain: floating-point numbers; InputError otherwise

    shape: inputs x and constant (N, 3 H), recurrent U (H, 3 H), recurrent_bias b_n (H,), h (N, H) -> h' (N, H)

    The blocks come in the order r, u, n. constant: a term of x that every step adds, or None.
    """
    check_types("gru_step", inputs, h)
    x, product, size = inputs if constant is None else inputs + constant, h @ recurrent, h.shape[-1]
    r, u = (sigmoid(x[..., k * size : (k + 1) * size] + product[..., k * size : (k + 1) * size]) for k in range(2))
    n = tanh(x[..., 2 * size :] + r * (product[..., 2 * size :] + recurrent_bias))
    return (1 - u) * n + u * h


CELL = Kernel(
    "gru_cell",
    "T x[], T constant[], T product[], T bias[], T h_before[i], int32 width",
    "T reset[i], T update[i], T candidate[i], T memory[i], T h[i]",
    """
    const ptrdiff_t column = i % width, k = i + 2 * width * (i / width), k_update = k + width, k_new = k_update + width;
    reset = T(0.5) + T(0.5) * tanh(T(0.5) * (x[k] + constant[k] + product[k]));
    update = T(0.5) + T(0.5) * tanh(T(0.5) * (x[k_update] + constant[k_update] + product[k_update]));
    memory = product[k_new] + bias[column];
    candidate = tanh(x[k_new] + constant[k_new] + reset * memory);
    h = candidate + update * (h_before - candidate);
    """,
)
"""One step; the product is h U, and k the place of an entry in the first block of a row."""
CELL_SLOPES = Kernel(
    "gru_cell_slopes",
    "T g[i], T reset[i], T update[i], T candidate[i], T memory[i], T h_before[i], int32 width",
    "T e[], T dh[i]",
    """
    const ptrdiff_t k = i + 3 * width * (i / width);
    const T dh_t = dh + g, of_candidate = dh_t * (T(1) - update) * (T(1) - candidate * candidate);
    e[k] = of_candidate * reset;
    e[k + width] = of_candidate * memory * reset * (T(1) - reset);
    e[k + 2 * width] = dh_t * (h_before - candidate) * update * (T(1) - update);
    e[k + 3 * width] = of_candidate;
    dh = dh_t * update;
    """,
)
"""The rule of a step. On entry dh comes from the step after it, and g from outside; dh becomes its part u dh_t."""


@primitive
def gru(
    inputs: Any, recurrent: Any, recurrent_bias: Any, h0: Any, constant: Any = None, *, counts: Sequence[int]
) -> Any:
    """h_t = gru_step(inputs_t, U, b_n, h_(t-1), constant) for all steps t; returns all h_t as rows

    :Rule: dx_t = e_t, dU = sum over rows of h_(t-1)' e_t, dh_(t-1) = u dh_t + e_t U', back through the steps
    :Domain: floating-point numbers; InputError otherwise

    shape: inputs (R, 3 H), recurrent U (H, 3 H), recurrent_bias (H,), h0 (N, H), constant (N, 3 H) -> (R, H)

    e are the cotangents of the pre-activations. counts: the number of rows of each step; it starts at N, never rises
    and adds up to R, and sequence n owns the n-th row of each step. The inputs are the part that depends on the data:
    x_t W + b for all rows in one product, or rows of a table. Raises ShapeError for counts that do not fit.
    """
    return _run(inputs, recurrent, recurrent_bias, h0, constant, counts=counts, all_rows=False)[0]


class _Intermediates(NamedTuple):
    """The forward pass keeps r, u, n and the factor of r, m = h U_n + b_n, for each row: (R, H) each.

    They are separate arrays because NumPy works three times as fast on one contiguous array as on a block of wider
    rows.
    """

    resets: Any
    updates: Any
    candidates: Any
    memories: Any


def _run(
    inputs: Any,
    recurrent: Any,
    recurrent_bias: Any,
    h: Any,
    constant: Any = None,
    *,
    counts: Sequence[int],
    all_rows: bool = True,
) -> tuple[Any, _Intermediates]:
    """Returns all h_t and the intermediates: those of all rows, or buffers of one step that each step overwrites."""
    check_rows("gru", inputs, h, constant, 3, counts)
    xp, dtype, (n, size) = array_module(inputs), inputs.dtype, h.shape
    if recurrent_bias.shape != (size,):
        raise ShapeError("gru", f"a recurrent bias of shape {(size,)}", str(recurrent_bias.shape))
    kept = _Intermediates(*(xp.empty((len(inputs) if all_rows else n, size), dtype=dtype) for _ in range(4)))
    y, products = xp.empty((len(inputs), size), dtype=dtype), xp.empty((n, 3 * size), dtype=dtype)
    cell = CELL.on_gpu(inputs, recurrent, recurrent_bias, h, constant)
    if cell and constant is None:
        constant = xp.zeros((n, 3 * size), dtype=dtype)
    for start, n in steps(counts):
        step = slice(start, start + n)
        r, u, new, memory = (buffer[step if all_rows else slice(0, n)] for buffer in kept)
        new_h, from_old = y[step], products[:n]
        product(h[:n], recurrent, from_old)
        if cell:
            cell(inputs[step], constant, from_old, recurrent_bias, h[:n], size, r, u, new, memory, new_h)
            h = new_h
            continue
        x_blocks, h_blocks = blocks(inputs[step], 3), blocks(from_old, 3)
        for gate, x, from_h in zip((r, u), x_blocks, h_blocks, strict=False):
            xp.add(x, from_h, out=gate)
        xp.add(h_blocks[2], recurrent_bias, out=memory)
        if constant is not None:
            added = blocks(constant[:n], 3)
            r += added[0]
            u += added[1]
        for gate in (r, u):
            gate *= 0.5  # sigmoid x = 1/2 + tanh(x / 2) / 2
            xp.tanh(gate, out=gate)
            gate *= 0.5
            gate += 0.5
        xp.multiply(r, memory, out=new)
        new += x_blocks[2]
        if constant is not None:
            new += added[2]
        xp.tanh(new, out=new)
        xp.subtract(h[:n], new, out=new_h)  # (1 - u) n + u h = n + u (h - n)
        new_h *= u
        new_h += new
        h = new_h
    return y, kept


def _gru_rule(
    wanted: list[int],
    g: Any,
    y: Any,
    inputs: Any,
    recurrent: Any,
    recurrent_bias: Any,
    h0: Any,
    constant: Any = None,
    *,
    counts: Sequence[int],
    intermediates: _Intermediates,
) -> list[Any]:
    """The cotangents e of the pre-activations go back step by step; those of the arguments are sums of them.

    e_n = dh (1 - u) (1 - n^2),   e_r = e_n m r (1 - r),   e_u = dh (h_(t-1) - n) u (1 - u),   dm = e_n r
    dh_(t-1) = u dh + e_r U_r' + e_u U_u' + dm U_n',   dU = sum over rows of h_(t-1)' (e_r, e_u, dm)

    A row of `e` is (dm, e_r, e_u, e_n): its first three blocks go through U, its last three are those of the inputs.
    """
    if isinstance(g, Tensor):
        return _gru_rule_by_steps(wanted, g, (inputs, recurrent, recurrent_bias, h0, constant), counts)
    xp, (n, size) = array_module(g), h0.shape
    e, dh = xp.empty((len(g), 4 * size), dtype=g.dtype), xp.zeros_like(h0)
    d_bias, d_constant = xp.zeros_like(recurrent_bias), None if constant is None else xp.zeros_like(constant)
    transposed = xp.concatenate([recurrent[:, 2 * size :], recurrent[:, : 2 * size]], axis=1).swapaxes(0, 1)
    transposed, workspaces = xp.ascontiguousarray(transposed), xp.empty((3, n, size), dtype=g.dtype)
    cell_slopes = CELL_SLOPES.on_gpu(g, y, recurrent, h0)
    places = list(steps(counts))
    for (start, n), (before, _) in zip(reversed(places), reversed([(0, 0), *places[:-1]]), strict=True):
        step = slice(start, start + n)
        kept, step_dh, a = _Intermediates(*(x[step] for x in intermediates)), dh[:n], e[step]
        previous_h = y[before : before + n] if start else h0
        if cell_slopes:
            cell_slopes(g[step], *kept, previous_h, size, a, step_dh)
        else:
            step_dh += g[step]
            _cell_slopes(step_dh, kept, previous_h, a, d_bias, workspaces[:, :n])
        if constant is not None:
            d_constant[:n] += a[:, size:]
        step_dh += product(a[:, : 3 * size], transposed, workspaces[0, :n])
    if cell_slopes:
        d_bias = sum_of_leading_axes(e[:, :size], 1)
    results = {0: e[:, size:], 2: d_bias, 3: dh, 4: d_constant}
    if 1 in wanted:
        d_recurrent, previous_h = xp.empty_like(recurrent), rows_before(h0, y, counts).swapaxes(0, 1)
        product(previous_h, e[:, size : 3 * size], d_recurrent[:, : 2 * size])
        product(previous_h, e[:, :size], d_recurrent[:, 2 * size :])
        results[1] = d_recurrent
    return [results[i] for i in wanted]


def _cell_slopes(dh: Any, kept: _Intermediates, previous_h: Any, e: Any, d_bias: Any, workspaces: Any) -> None:
    """Writes e of one step, turns the cotangent of h_t into u dh, and adds to the sum of dm."""
    xp, (r, u, new, memory), (d_memory, d_new, slope) = array_module(dh), kept, workspaces
    to_memory, e_r, e_u, e_n = blocks(e, 4)
    xp.multiply(new, new, out=slope)
    xp.subtract(1.0, slope, out=d_new)
    d_new *= dh
    xp.subtract(1.0, u, out=slope)
    d_new *= slope
    e_n[...] = d_new
    slope *= u  # u (1 - u) dh; e_u is (h - n) times this
    slope *= dh
    xp.subtract(previous_h, new, out=d_memory)
    xp.multiply(d_memory, slope, out=e_u)
    xp.multiply(d_new, r, out=d_memory)
    to_memory[...] = d_memory
    d_bias += d_memory.sum(axis=0)
    xp.subtract(1.0, r, out=slope)
    slope *= memory
    xp.multiply(d_memory, slope, out=e_r)  # r e_n (1 - r) m
    dh *= u


def _gru_rule_by_steps(wanted: list[int], g: Tensor, arguments: tuple[Any, ...], counts: Sequence[int]) -> list[Tensor]:
    """Returns the same cotangents as results of small operations, which can be differentiated again."""
    copies = [None if x is None else reshape(x, x.shape) for x in arguments]  # no copy depends on another
    inputs, recurrent, recurrent_bias, h, constant = copies
    rows = []
    for start, n in steps(counts):
        added = None if constant is None else constant[:n]
        h = gru_step(inputs[start : start + n], recurrent, recurrent_bias, h[:n], added)
        rows.append(h)
    return grad(sum(concatenate(rows) * g), [copies[i] for i in wanted], create_graph=True)


gru.defvjp_together(_gru_rule, keep=_run)
