"""Functions of cupy.linalg by NumPy, where CuPy runs without CUDA's libraries: those of emu_plugin, and Cholesky's."""

import cupy
import emu_plugin

cupy.linalg.cholesky = emu_plugin.host("cholesky")
