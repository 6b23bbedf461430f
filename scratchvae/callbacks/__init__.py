"""What happens after every epoch of `fit`: early stopping, a time limit, a learning rate that falls, and logs.

A callback is a function of the epoch's metrics, whose True stops the training, or a Callback, which may also keep a
state: the run directory keeps it in its checkpoints, so that a resumed run ends as it would have without interruption.
"""

from scratchvae.callbacks.callback import Callback
from scratchvae.callbacks.logs import CSVLog, TensorBoard
from scratchvae.callbacks.plateau import PlateauSchedule
from scratchvae.callbacks.stopping import EarlyStopping, TimeLimit
from scratchvae.callbacks.together import Callbacks

__all__ = ["CSVLog", "Callback", "Callbacks", "EarlyStopping", "PlateauSchedule", "TensorBoard", "TimeLimit"]
