"""pooch downloads files from the network."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from scratchvae.errors import DataError


def downloaded(file: str, sha256: str, mirrors: Iterable[str], folder: str, other_ways: str) -> Path:
    """Returns the path of a file in this folder of the user's cache, and downloads the file if it is missing.

    Only a whole file with the checksum gets there. Raises DataError if no mirror delivers it; other_ways: the
    hint to get it without a download.
    """
    import pooch

    failures, path = [], pooch.os_cache("scratchvae") / folder
    for mirror in mirrors:
        try:
            return Path(pooch.retrieve(mirror + file, f"sha256:{sha256}", fname=file, path=path))
        except OSError as error:
            failures.append(f"{type(error).__name__} from {mirror}")
        except ValueError:  # pooch's word for a wrong checksum
            failures.append(f"a wrong checksum from {mirror}")
    raise DataError(f"downloading {file}", "one mirror that has it", ", ".join(failures), other_ways)
