"""Every kernel text compiles with NVIDIA's own compiler, for GPUs of two generations. No GPU is needed."""

import ctypes
import os
from dataclasses import replace
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from pkgutil import walk_packages

import pytest

import scratchvae as sv
from scratchvae.capture import _writing
from scratchvae.kernels import C_TYPES, Kernel
from scratchvae.ops.activations import BIASED
from scratchvae.philox import COUNTER, at_words

pytestmark = pytest.mark.slow
WHEELS = "nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12"


def every_kernel():
    """The kernels of the package by name: those in its files, and those that its functions make from others."""
    names = [module.name for module in walk_packages(sv.__path__, "scratchvae.") if "__main__" not in module.name]
    values = [value for name in names for value in vars(import_module(name)).values()]
    kernels = [value for value in values if isinstance(value, Kernel)]
    kernels += BIASED.values()
    kernels += [at_words(kernel) for kernel in kernels if kernel.inputs.startswith(COUNTER)]
    kernels += [replace(_writing(n), name=f"write_{n}_numbers") for n in range(5)]
    return {kernel.name: kernel for kernel in kernels}


@cache
def nvrtc():
    """The compiler as a library, of its wheel."""
    for wheel in WHEELS:
        try:
            files = metadata.files(wheel)
        except metadata.PackageNotFoundError:
            continue
        for file in files:
            if file.name.startswith("libnvrtc.so."):
                return ctypes.CDLL(str(file.locate()))
    pytest.skip(f"needs NVRTC: pip install {WHEELS[0]}")


def cuda_text(kernel, c_type):
    """The kernel as a loop of a grid of threads, its parameters as CuPy declares them."""
    parameters, entries = [], []
    for p in kernel.parameters():
        kind = f"{'' if p.is_output else 'const '}{C_TYPES[p.type][0]}"
        by_entry = p.form in ("[i]", "[row]")
        parameters.append(f"{kind}{'* __restrict__' if p.form else ''} {'all_' if by_entry else ''}{p.name}")
        if by_entry:
            entries.append(f"{kind}& {p.name} = all_{p.name}[i];")
    return f"""
        typedef {c_type} T;
        {kernel.preamble}
        extern "C" __global__ void {kernel.name}({", ".join(parameters)}, ptrdiff_t size) {{
            const ptrdiff_t of_thread = (ptrdiff_t)blockIdx.x * blockDim.x + threadIdx.x;
            for (ptrdiff_t i = of_thread; i < size; i += (ptrdiff_t)gridDim.x * blockDim.x) {{
                {" ".join(entries)}
                {kernel.text}
            }}
        }}
    """


def compiled(text, architecture, *further):
    """(size of the program for this architecture, what the compiler says), with further options"""
    library, program, size = nvrtc(), ctypes.c_void_p(), ctypes.c_size_t()
    assert library.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernel.cu", 0, None, None) == 0
    options = [f"--gpu-architecture={architecture}".encode(), b"-ftz=true", *(option.encode() for option in further)]
    status = library.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    size = ctypes.c_size_t(0)
    if status == 0:
        assert library.nvrtcGetCUBINSize(program, ctypes.byref(size)) == 0
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return size.value, log.value.decode().strip()


def test_the_list_is_complete():
    named = """adam bernoulli_term bernoulli_slope philox_uniform philox_normal im2col relu_slope coin normal_kl
        biased_tanh philox_normal_at_words pixels_from_bytes_at_words write_3_numbers"""
    assert set(named.split()) <= set(every_kernel())


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
@pytest.mark.parametrize("c_type", ["float", "double"])
def test_every_text_compiles(architecture, c_type):
    for kernel in every_kernel().values():
        size, log = compiled(cuda_text(kernel, c_type), architecture)
        assert size and not log, f"{kernel.name}: {log}"


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
def test_every_text_that_cupy_made_compiles(architecture):
    """Those in the folder SCRATCHVAE_CUDA_TEXTS, with the headers of SCRATCHVAE_CUDA_HEADERS; .ci/gpu keeps them."""
    if "SCRATCHVAE_CUDA_TEXTS" not in os.environ:
        pytest.skip("needs texts that CuPy made: .ci/gpu keeps them")
    folders = os.environ["SCRATCHVAE_CUDA_HEADERS"].split(os.pathsep)
    options = ["-std=c++17", "-pch", *(f"-I{folder}" for folder in folders)]
    texts = {path.read_text(): path.name for path in Path(os.environ["SCRATCHVAE_CUDA_TEXTS"]).glob("*.cu")}
    texts.pop("", None)  # CuPy asks for the version by one
    assert len(texts) > 300 and any("philox_normal" in name for name in texts.values())
    for text, name in texts.items():
        size, log = compiled(text, architecture, *options)
        assert size, f"{name}: {log}"


def test_a_text_that_is_no_cuda_is_seen():
    size, log = compiled(cuda_text(Kernel("wrong", "T x[i]", "T y[i]", "y = std::exp(x);"), "float"), "sm_80")
    assert size == 0 and "std" in log
