"""Callbacks act after every epoch of `fit`: early stopping, a time limit, a falling learning rate, and logs.

A callback is either a function of the epoch's metrics, which stops the training by returning True, or a Callback. A
Callback may also have a state. The run directory stores it in checkpoints, so that a resumed run ends in the same way
as an uninterrupted one.
"""

from scratchvae.callbacks.callback import Callback
from scratchvae.callbacks.logs import CSVLog, TensorBoard
from scratchvae.callbacks.plateau import PlateauSchedule
from scratchvae.callbacks.stopping import EarlyStopping, TimeLimit
from scratchvae.callbacks.together import Callbacks

__all__ = ["CSVLog", "Callback", "Callbacks", "EarlyStopping", "PlateauSchedule", "TensorBoard", "TimeLimit"]
