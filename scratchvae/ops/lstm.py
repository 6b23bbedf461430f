"""The long short-term memory (LSTM), over the rows without padding that `packed_rows` describes.

`lstm_step` is the definition: one step, made of small operations. `lstm` runs all steps as one primitive: its gradient
reuses the results of the forward pass, goes back through the steps once, and forms the recurrent weight's sum over all
rows as one matrix product.

Sources: Hochreiter & Schmidhuber (1997); Gers, Schmidhuber & Cummins (2000) for the forget gate; Ba, Kiros & Hinton
(2016), section 3.1, for the normalisation; Semeniuta, Severyn & Barth (2016), equation 13, for the dropout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from scratchvae.autodiff import Tensor, grad, primitive
from scratchvae.backend import array_module, product
from scratchvae.errors import InputError
from scratchvae.kernels import Kernel
from scratchvae.ops.activations import sigmoid, tanh
from scratchvae.ops.elementwise import square
from scratchvae.ops.packed_rows import blocks, check_rows, check_types, rows_before, steps
from scratchvae.ops.reductions import mean, sum
from scratchvae.ops.structure import concatenate, reshape

EPSILON = 1e-5
"""Added to the variance by the normalisation, so that equal entries give zeros."""


def lstm_step(
    inputs: Any,
    recurrent: Any,
    h: Any,
    c: Any,
    constant: Any = None,
    gate_scale: Any = None,
    gate_shift: Any = None,
    cell_scale: Any = None,
    cell_shift: Any = None,
    dropout: Any = None,
) -> tuple[Any, Any]:
    """c' = f c + i g,   h' = o tanh c',   i, f, o = sigmoid and g = tanh of the blocks of a = inputs + h U + constant

    :Rule: that of its operations
    :Domain: floating-point numbers; InputError otherwise

    shape: inputs and constant (N, 4 H), recurrent U (H, 4 H), h and c (N, H) -> h' and c' (N, H)

    constant: a term that every step adds; dropout (N, H): factors of g. With scales and shifts, (4 H,) and (H,), each
    block of a is normalised over its H entries, and so is c' inside the last tanh. None leaves them out.
    """
    check_types("lstm_step", inputs, h)
    a, size = inputs + h @ recurrent, h.shape[-1]
    if constant is not None:
        a = a + constant
    if gate_scale is not None:
        normal = _normalized(reshape(a, (*a.shape[:-1], 4, size)))
        a = reshape(normal, a.shape) * gate_scale + gate_shift
    i, f, o = (sigmoid(a[..., k * size : (k + 1) * size]) for k in range(3))
    g = tanh(a[..., 3 * size :])
    c = f * c + i * (g if dropout is None else g * dropout)
    return o * tanh(c if cell_scale is None else _normalized(c) * cell_scale + cell_shift), c


def _normalized(x: Any) -> Any:
    """(x - mean) / sqrt(variance + 1e-5) over the last axis"""
    centred = x - mean(x, axis=-1, keepdims=True)
    return centred / (mean(square(centred), axis=-1, keepdims=True) + EPSILON) ** 0.5


CELL = Kernel(
    "lstm_cell",
    "T x[], T constant[], T c_before[i], T factor[i], int32 width",
    "T gates[], T c[i], T tanh_c[i], T h[i]",
    """
    const ptrdiff_t k = i + 3 * width * (i / width);
    const T in = T(0.5) + T(0.5) * tanh(T(0.5) * (gates[k] + x[k] + constant[k]));
    const ptrdiff_t k_forget = k + width, k_out = k_forget + width, k_candidate = k_out + width;
    const T forget = T(0.5) + T(0.5) * tanh(T(0.5) * (gates[k_forget] + x[k_forget] + constant[k_forget]));
    const T out = T(0.5) + T(0.5) * tanh(T(0.5) * (gates[k_out] + x[k_out] + constant[k_out]));
    const T candidate = tanh(gates[k_candidate] + x[k_candidate] + constant[k_candidate]);
    c = forget * c_before + in * candidate * factor;
    tanh_c = tanh(c);
    h = out * tanh_c;
    gates[k] = in, gates[k_forget] = forget, gates[k_out] = out, gates[k_candidate] = candidate;
    """,
)
"""One step without a normalisation. On entry the gates hold h U; k is the place of an entry in their first block."""
CELL_SLOPES = Kernel(
    "lstm_cell_slopes",
    "T g[i], T dh[i], T gates[], T tanh_c[i], T c_before[i], T factor[i], int32 width",
    "T e[], T dc[i]",
    """
    const ptrdiff_t k = i + 3 * width * (i / width);
    const T in = gates[k], forget = gates[k + width], out = gates[k + 2 * width], candidate = gates[k + 3 * width];
    const T dh_t = dh + g, dc_t = dc + dh_t * out * (T(1) - tanh_c * tanh_c);
    e[k] = dc_t * candidate * factor * in * (T(1) - in);
    e[k + width] = dc_t * c_before * forget * (T(1) - forget);
    e[k + 2 * width] = dh_t * tanh_c * out * (T(1) - out);
    e[k + 3 * width] = dc_t * in * factor * (T(1) - candidate * candidate);
    dc = dc_t * forget;
    """,
)
"""The rule of a step. On entry dh and dc come from the step after it, g from outside; dc becomes that of c_(t-1)."""


@primitive
def lstm(
    inputs: Any,
    recurrent: Any,
    h0: Any,
    c0: Any,
    constant: Any = None,
    gate_scale: Any = None,
    gate_shift: Any = None,
    cell_scale: Any = None,
    cell_shift: Any = None,
    *,
    counts: Sequence[int],
    dropout: Any = None,
) -> Any:
    """h_t, c_t = lstm_step(inputs_t, U, h_(t-1), c_(t-1), ...) for all steps t; returns all h_t as rows

    :Rule: dx_t = e_t, dU = sum over rows of h_(t-1)' e_t, dh_(t-1) = e_t U', back through the steps
    :Domain: floating-point numbers; InputError otherwise

    shape: inputs (R, 4 H), recurrent U (H, 4 H), h0 and c0 (N, H), constant (N, 4 H) -> (R, H)

    e are the cotangents of the pre-activations. counts: the number of rows of each step; it starts at N, never rises
    and adds up to R, and sequence n owns the n-th row of each step. The inputs are the part that depends on the data:
    x_t W + b for all rows in one product. The other arguments are those of `lstm_step`, dropout (R, H). Raises
    ShapeError for counts that do not fit, InputError if only some of the scales and shifts are given.
    """
    norms = (gate_scale, gate_shift, cell_scale, cell_shift)
    return _run(inputs, recurrent, h0, c0, constant, *norms, counts=counts, dropout=dropout, all_rows=False)[0]


class _Intermediates(NamedTuple):
    """The arrays that the forward pass keeps for the backward pass have one row for each row of the inputs.

    gates: i, f, o and g side by side, (R, 4 H); cells: c, and tanh_cells: the last tanh, (R, H). From the
    normalisations: the normalised blocks (R, 4, H) and cells (R, H), and the inverses of their deviations, (R, 4, 1)
    and (R, 1).
    """

    gates: Any
    cells: Any
    tanh_cells: Any
    normal_blocks: Any = None
    block_factors: Any = None
    normal_cells: Any = None
    cell_factors: Any = None


def _run(
    inputs: Any,
    recurrent: Any,
    h: Any,
    c: Any,
    constant: Any = None,
    gate_scale: Any = None,
    gate_shift: Any = None,
    cell_scale: Any = None,
    cell_shift: Any = None,
    *,
    counts: Sequence[int],
    dropout: Any = None,
    all_rows: bool = True,
) -> tuple[Any, _Intermediates]:
    """Returns all h_t and the intermediates: those of all rows, or buffers of one step that each step overwrites."""
    check_rows("lstm", inputs, h, constant, 4, counts)
    present = [x is not None for x in (gate_scale, gate_shift, cell_scale, cell_shift)]
    if any(present) and not all(present):
        raise InputError("lstm", "all scales and shifts, or none", f"{present.count(True)} of 4")
    xp, dtype, (n, size) = array_module(inputs), inputs.dtype, h.shape
    rows = len(inputs) if all_rows else n
    shapes = [(rows, 4 * size), (rows, size), (rows, size)]
    if gate_scale is not None:
        shapes += [(rows, 4, size), (rows, 4, 1), (rows, size), (rows, 1)]
    buffers = _Intermediates(*(xp.empty(shape, dtype=dtype) for shape in shapes))
    y, half = xp.empty((len(inputs), size), dtype=dtype), xp.ones(4 * size, dtype=dtype)
    half[: 3 * size] = 0.5
    cell = CELL.on_gpu(inputs, recurrent, h, c, constant, dropout) if gate_scale is None else None
    if cell:
        constant = xp.zeros((n, 4 * size), dtype=dtype) if constant is None else constant
        ones = xp.ones((n, size), dtype=dtype)
    for start, n in steps(counts):
        step = slice(start, start + n)
        place = step if all_rows else slice(0, n)
        a, new_c, last_tanh, new_h = buffers.gates[place], buffers.cells[place], buffers.tanh_cells[place], y[step]
        product(h[:n], recurrent, a)
        if cell:
            factor = ones[:n] if dropout is None else dropout[step]
            cell(inputs[step], constant, c[:n], factor, size, a, new_c, last_tanh, new_h)
            h, c = new_h, new_c
            continue
        a += inputs[step]
        if constant is not None:
            a += constant[:n]
        if gate_scale is not None:
            normal, buffers.block_factors[place] = _normalize(a.reshape(n, 4, size), buffers.normal_blocks[place])
            xp.multiply(normal.reshape(n, 4 * size), gate_scale, out=a)
            a += gate_shift
        a *= half  # sigmoid x = 1/2 + tanh(x / 2) / 2: one tanh serves all four blocks
        xp.tanh(a, out=a)
        a *= half
        a += 1 - half
        i, f, o, g = blocks(a, 4)
        candidate = i * g
        if dropout is not None:
            candidate *= dropout[step]
        xp.multiply(f, c[:n], out=new_c)
        new_c += candidate
        if cell_scale is None:
            xp.tanh(new_c, out=last_tanh)
        else:
            normal, buffers.cell_factors[place] = _normalize(new_c, buffers.normal_cells[place])
            xp.tanh(normal * cell_scale + cell_shift, out=last_tanh)
        xp.multiply(o, last_tanh, out=new_h)
        h, c = new_h, new_c
    return y, buffers


def _normalize(x: Any, out: Any) -> tuple[Any, Any]:
    """Writes (x - mean) / sqrt(variance + 1e-5) over the last axis to `out`. Returns it and the inverse of the root."""
    xp = array_module(x)
    xp.subtract(x, x.mean(axis=-1, keepdims=True), out=out)
    factor = 1.0 / xp.sqrt((out * out).mean(axis=-1, keepdims=True) + EPSILON)
    out *= factor
    return out, factor


def _normalize_rule(g: Any, normal: Any, factor: Any) -> Any:
    """dx = factor (g - mean g - y mean(g y)) for y = (x - mean) factor, means over the last axis"""
    along = (g * normal).mean(axis=-1, keepdims=True)
    return factor * (g - g.mean(axis=-1, keepdims=True) - normal * along)


def _lstm_rule(
    wanted: list[int],
    g: Any,
    y: Any,
    inputs: Any,
    recurrent: Any,
    h0: Any,
    c0: Any,
    constant: Any = None,
    gate_scale: Any = None,
    gate_shift: Any = None,
    cell_scale: Any = None,
    cell_shift: Any = None,
    *,
    counts: Sequence[int],
    dropout: Any = None,
    intermediates: _Intermediates,
) -> list[Any]:
    """The cotangents e of the pre-activations a go back step by step; those of the arguments are sums of them.

    dc_t = o (1 - tanh^2 c_t) dh_t + f_(t+1) dc_(t+1),   dh_(t-1) = e_t U',   dU = sum over rows of h_(t-1)' e_t
    e = (g dc i (1 - i),  c_(t-1) dc f (1 - f),  tanh c_t dh o (1 - o),  i dc (1 - g^2)) for the blocks i, f, o, g
    """
    if isinstance(g, Tensor):
        arguments = (inputs, recurrent, h0, c0, constant, gate_scale, gate_shift, cell_scale, cell_shift)
        return _lstm_rule_by_steps(wanted, g, arguments, counts, dropout)
    xp, (n, size) = array_module(g), h0.shape
    e, dh, dc = xp.empty_like(intermediates.gates), xp.zeros_like(h0), xp.zeros_like(c0)
    sums = [None if x is None else xp.zeros_like(x) for x in (constant, gate_scale, gate_shift, cell_scale, cell_shift)]
    transposed, workspace = xp.ascontiguousarray(recurrent.swapaxes(0, 1)), xp.empty((n, 4 * size), dtype=g.dtype)
    cell_slopes = CELL_SLOPES.on_gpu(g, y, recurrent, h0, c0, dropout) if gate_scale is None else None
    ones = xp.ones((n, size), dtype=g.dtype) if cell_slopes else None
    places = list(steps(counts))
    for (start, n), (before, _) in zip(reversed(places), reversed([(0, 0), *places[:-1]]), strict=True):
        step = slice(start, start + n)
        kept = _Intermediates(*(None if x is None else x[step] for x in intermediates))
        previous_c = intermediates.cells[before : before + n] if start else c0
        factor = None if dropout is None else dropout[step]
        step_dh, step_dc, a = dh[:n], dc[:n], e[step]
        if cell_slopes:
            factor = ones[:n] if factor is None else factor
            cell_slopes(g[step], step_dh, kept.gates, kept.tanh_cells, previous_c, factor, size, a, step_dc)
        else:
            step_dh += g[step]
            scales = gate_scale, cell_scale
            _cell_slopes(step_dh, kept, previous_c, factor, scales, a, step_dc, sums, workspace[:n])
        if constant is not None:
            sums[0][:n] += a
        product(a, transposed, step_dh)
    results = {0: e, 2: dh, 3: dc, **dict(enumerate(sums, start=4))}
    if 1 in wanted:
        results[1] = product(rows_before(h0, y, counts).swapaxes(0, 1), e)
    return [results[i] for i in wanted]


def _cell_slopes(
    dh: Any,
    kept: _Intermediates,
    previous_c: Any,
    dropout: Any,
    scales: tuple[Any, Any],
    e: Any,
    dc: Any,
    sums: list[Any],
    slope: Any,
) -> None:
    """Writes e of one step, turns the cotangent of c_t into that of c_(t-1), and adds to the sums of the scales.

    `slope` is a workspace like e.
    """
    xp, (gate_scale, cell_scale), size = array_module(dh), scales, dh.shape[1]
    (i, f, o, candidate), (e_i, e_f, e_o, e_g) = blocks(kept.gates, 4), blocks(e, 4)
    xp.multiply(dh, kept.tanh_cells, out=e_o)
    through_tanh = dh * o
    through_tanh *= 1 - kept.tanh_cells * kept.tanh_cells
    if cell_scale is not None:
        sums[3] += (through_tanh * kept.normal_cells).sum(axis=0)
        sums[4] += through_tanh.sum(axis=0)
        through_tanh = _normalize_rule(through_tanh * cell_scale, kept.normal_cells, kept.cell_factors)
    dc += through_tanh
    xp.multiply(dc, candidate, out=e_i)
    xp.multiply(dc, i, out=e_g)
    if dropout is not None:
        e_i *= dropout
        e_g *= dropout
    xp.multiply(dc, previous_c, out=e_f)
    dc *= f
    xp.multiply(kept.gates, kept.gates, out=slope)  # y (1 - y) of a sigmoid, 1 - y^2 of a tanh
    xp.subtract(kept.gates[:, : 3 * size], slope[:, : 3 * size], out=slope[:, : 3 * size])
    xp.subtract(1.0, slope[:, 3 * size :], out=slope[:, 3 * size :])
    e *= slope
    if gate_scale is not None:
        sums[1] += (e * kept.normal_blocks.reshape(e.shape)).sum(axis=0)
        sums[2] += e.sum(axis=0)
        scaled = (e * gate_scale).reshape(kept.normal_blocks.shape)
        e[...] = _normalize_rule(scaled, kept.normal_blocks, kept.block_factors).reshape(e.shape)


def _lstm_rule_by_steps(
    wanted: list[int], g: Tensor, arguments: tuple[Any, ...], counts: Sequence[int], dropout: Any
) -> list[Tensor]:
    """Returns the same cotangents as results of small operations, which can be differentiated again."""
    copies = [None if x is None else reshape(x, x.shape) for x in arguments]  # no copy depends on another
    inputs, recurrent, h, c, constant, *norms = copies
    rows = []
    for start, n in steps(counts):
        step = slice(start, start + n)
        added = None if constant is None else constant[:n]
        factors = None if dropout is None else dropout[step]
        h, c = lstm_step(inputs[step], recurrent, h[:n], c[:n], added, *norms, dropout=factors)
        rows.append(h)
    return grad(sum(concatenate(rows) * g), [copies[i] for i in wanted], create_graph=True)


lstm.defvjp_together(_lstm_rule, keep=_run)
