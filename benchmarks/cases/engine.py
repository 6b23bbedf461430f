"""A step of the VAE of case `mlp` by the engine, and by the same kernels and rules in the same order without an engine.

The second is a program of one line for each, such as

    y3 = f3(y2)
    g2 = r3_0(g3, y3, y2)

that is written from the graph of a first step: what remains of the engine's time beside it is its bookkeeping.
"""

from __future__ import annotations

from itertools import count
from typing import Any

from benchmarks.cases import steps
from benchmarks.cases.mlp import Size, model, problem, scratchvae
from benchmarks.cases.problem import Problem

__all__ = ["CASES", "PEERS", "REFERENCE", "problem"]

CASES = {"engine": Size()}
REFERENCE = "kernels"


def kernels(size: Size, problem: Problem) -> steps.Step:
    """Returns the step without an engine."""
    import scratchvae as sv
    from scratchvae.autodiff import _path
    from scratchvae.backend import keep_freed_memory
    from scratchvae.noise import GivenNoise
    from scratchvae.objectives import elbo

    keep_freed_memory()
    vae, ((x,),) = model(size), problem.batches()
    adam = sv.optim.Adam(vae.parameters(), problem.rate)
    e = x[: size.batch, : size.latent].copy()[None]  # of the shape of the noise, which a step writes into it
    loss = -elbo(vae).value(x, GivenNoise(e), 1, 1.0)[0]
    text, names = program(_path(loss, adam.parameters), adam)
    exec(compile(text, "the straight line", "exec"), names)

    def step(noise: Any) -> Any:
        e[...] = noise
        value = names["gradients"]()
        adam.step()
        return value

    return step


def program(path: list[tuple[Any, list[int]]], adam: Any) -> tuple[str, dict[str, Any]]:
    """Returns the text of a function without arguments that computes loss and gradients, and its names' values."""
    from scratchvae.autodiff import sum_to

    number, numbers = {id(node): i for i, (node, _) in enumerate(path)}, count()
    names: dict[str, Any] = {"sum_to": sum_to, "one": path[-1][0].data ** 0}
    target = {id(parameter): f"gradient{i}" for i, parameter in enumerate(adam.parameters)}
    names |= {f"gradient{i}": array for i, array in enumerate(adam.gradients)}

    def constant(value: Any) -> str:
        name = f"c{next(numbers)}"
        names[name] = value
        return name

    forward, backward, written = [], [f"g{len(path) - 1} = one"], set()
    for i, (node, leading) in enumerate(path):
        together = node.primitive.together
        if node.primitive.keep:
            raise NotImplementedError(f"{node.primitive} keeps intermediate results")
        read = [
            f"y{number[id(x)]}" if id(x) in number else constant(a)
            for x, a in zip(node.arguments, node.arrays, strict=True)
        ]
        options = ", ".join([*read, *(f"{name}={constant(value)}" for name, value in node.options.items())])
        names[f"f{i}"] = node.primitive.function
        forward.append(f"y{i} = f{i}({options})")
        lines, g = [], f"g{i}"
        if node.primitive.before:
            names[f"b{i}"], g = node.primitive.before, f"e{i}"
            lines.append((g, f"b{i}(g{i}, y{i}, {options})", node.primitive.before, False))
        if together:
            names[f"r{i}"] = together
            lines.append((f"r{i}_all", f"r{i}({leading}, {g}, y{i}, {options})", together, False))
        for j, k in enumerate(leading):
            argument, key = node.arguments[k], id(node.arguments[k])
            place = target.get(key) or f"g{number[key]}"
            if together:
                rule, call = together, f"r{i}_all[{j}]"
            else:
                rule = names[f"r{i}_{k}"] = node.primitive.rules[k]
                call = f"r{i}_{k}({g}, y{i}, {options})"
            if node.shape != argument.shape and node.primitive.elementwise:
                call = f"sum_to({call}, {argument.shape})"
            lines.append((place, call, rule, key in target))
        backward.append(lines)
    text = []
    for lines in reversed(backward[1:]):
        for place, call, rule, is_parameter in lines:
            if is_parameter and place not in written and hasattr(rule, "into"):
                names[f"{call.split('(')[0]}_into"] = rule.into
                text.append(f"{call.split('(')[0]}_into({place}, {call.split('(', 1)[1]}")
            elif is_parameter:
                text.append(f"{place}[...] {'+=' if place in written else '='} {call}")
            else:
                text.append(f"{place} = {place} + {call}" if place in written else f"{place} = {call}")
            written.add(place)
    body = [*forward, backward[0], *text, f"return y{len(path) - 1}"]
    return "def gradients():\n    " + "\n    ".join(body) + "\n", names


PEERS = {"scratchvae": scratchvae, "kernels": kernels}
