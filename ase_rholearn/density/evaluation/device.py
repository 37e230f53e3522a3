"""Where the tensors of an evaluation live."""

from __future__ import annotations

import torch


def usable_device(device: str | torch.device | None) -> torch.device:
    """The device of that name, the processor if left out, after checks.

    Raises
    ------
    ValueError
        There is no such device here, or it lacks double precision, which the one-dimensional
        tables need.

    Examples
    --------
    >>> usable_device(None)
    device(type='cpu')
    """
    if device is None:
        return torch.device("cpu")
    try:
        chosen = torch.device(device)
        # the way there and back, in the precision of the tables
        torch.zeros(1, dtype=torch.float64, device=chosen).cpu()
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"device is {str(device)!r}, which torch cannot use here ({reason}): give one of "
            f"{_devices()}"
        ) from error
    return chosen


def _devices() -> list[str]:
    return ["cpu", *(f"cuda:{k}" for k in range(torch.cuda.device_count()))]
