"""What a person sees and does while `fit` runs: a bar, a line an epoch, and Ctrl-C between two steps."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from scratchvae.run_files import Metrics


def summary(metrics: Metrics) -> str:
    """Returns one line for a person: the ELBO and its two terms, in nats per datapoint, and the active units."""
    line = f"ELBO {metrics['elbo']:.2f} = {metrics['reconstruction']:.2f} - KL {metrics['kl']:.2f}"
    line += f", bound {metrics['bound']:.2f}" if "bound" in metrics else ""
    line += f", log q(y | x) {metrics['classification']:.3f}" if "classification" in metrics else ""
    line += f", log p(t | z) {metrics['properties']:.3f}" if "properties" in metrics else ""
    line += f", {metrics['active_units']} active"
    return line + (f", validation ELBO {metrics['validation_elbo']:.2f}" if "validation_elbo" in metrics else "")


@contextmanager
def deferred_interrupt() -> Iterator[threading.Event]:
    """Yields an event that the first Ctrl-C sets, so that no step is interrupted; a second one interrupts at once."""
    interrupted = threading.Event()
    alone = threading.current_thread() is threading.main_thread()
    if not alone or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # ignored, or another's
        yield interrupted
        return

    def handle(*_: Any) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


def progress_bar(total: int, done: int, shown: bool) -> Any:
    """Returns tqdm's bar, in a notebook its widget; if not shown, a bar that does nothing, without importing tqdm."""
    if not shown or sys.stderr is None:
        return _NoBar()
    from tqdm.auto import tqdm

    return tqdm(total=total, initial=done, unit="step", dynamic_ncols=True)


class _NoBar:
    def __enter__(self) -> _NoBar:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self) -> None:
        """Is called after every step."""

    def set_postfix_str(self, text: str) -> None:
        """Is called after every epoch."""
