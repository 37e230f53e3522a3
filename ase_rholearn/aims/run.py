"""Running FHI-aims in many directories, on any executor."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from .ase_io import command_words
from .judge import DENSITY_MATRICES, RECORD, judge, sizes
from .layout import QUANTITY, step_directory, structure_directories
from .orbital_weights import (
    STATES,
    EnergyWindow,
    orbital_weights,
    read_states,
    write_weights,
)
from .ri_files import read_ri_fit, shrink_overlap
from .settings import Step
from .versions import INDEX_FILES, OUTPUT

#: What a run writes, and what is removed before another one: everything but its input.
_OUTPUTS = (
    OUTPUT,
    "aims.err",
    RECORD,
    "basis_info.out",
    "ri_projections*.out",
    "ri_ovlp.*",
    "rho_*.out",
    "partition_tab.out",
    "cube_*.cube",
)

#: Further files of a step that are results.
_OUTPUTS_OF: dict[Step, tuple[str, ...]] = {
    "scf": (DENSITY_MATRICES, STATES),
    "fit": (DENSITY_MATRICES, "ri_restart_coeffs*.out", *INDEX_FILES),
    "rebuild": (),
}

_LOCK = ".running"

#: Processes that threads of this one wait for.
_RUNNING: set[subprocess.Popen[bytes]] = set()


@dataclass(frozen=True)
class Outcome:
    """What has come of the steps of one structure.

    Attributes
    ----------
    structure
        Its directory.
    done
        Whether all steps are done.
    reason
        What went wrong, with the step.
    """

    structure: Path
    done: bool
    reason: str = ""


def run_all(
    root: str | os.PathLike[str],
    steps: Sequence[Step] = ("scf", "fit"),
    executor: Executor | None = None,
    *,
    command: str | None = None,
    timeout: float | None = None,
    retry: bool = True,
    keep_overlap_text: bool = False,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Run what has not been run, and judge it by its output.

    May be started again at any time, also while it runs elsewhere: what is done stays, what was
    interrupted starts anew, and no directory has two runs at once.

    Parameters
    ----------
    root
        Folder of all runs.
    steps
        Which are run, one after the other for each structure; the rest are left out where one
        fails.
    executor
        Where structures are run; it needs the same file system. Left out: one at a time, here.
    command
        That runs FHI-aims; left out: that of ASE's configuration.
    timeout
        Seconds that a run may take.
    retry
        Whether runs that failed are run again.
    keep_overlap_text
        Whether ``ri_ovlp.out`` stays beside ``ri_ovlp.npy``, for other programs.
    on_outcome
        Called after each structure.

    Returns
    -------
    list of Outcome
        Of all structures, in their order.

    Raises
    ------
    ValueError
        The command is unknown.
    FileNotFoundError
        There are no runs.
    """
    words = tuple(command_words(command))
    structures = [path.absolute() for path in structure_directories(root)]
    outcomes: dict[Path, Outcome] = {}
    with nullcontext(executor) if executor is not None else ThreadPoolExecutor(1) as where:
        futures = {
            where.submit(
                run_structure, path, tuple(steps), words, timeout, retry, keep_overlap_text
            ): path
            for path in structures
        }
        try:
            for future in as_completed(futures):
                path, error = futures[future], future.exception()
                outcomes[path] = (
                    future.result()
                    if error is None
                    else Outcome(path, False, f"{type(error).__name__}: {error}")
                )
                on_outcome(outcomes[path])
        except BaseException:
            for future in futures:
                future.cancel()
            for process in tuple(_RUNNING):  # their threads would wait for them
                _kill(process)
            raise
    return [outcomes[path] for path in structures]


def run_structure(
    structure: Path,
    steps: Sequence[Step],
    command: Sequence[str],
    timeout: float | None = None,
    retry: bool = True,
    keep_overlap_text: bool = False,
) -> Outcome:
    """Run those steps of a structure that are not done.

    Parameters
    ----------
    structure
        Its directory.
    steps
        In their order.
    command
        Words of the command.
    timeout, retry, keep_overlap_text
        As for :func:`run_all`.
    """
    for step in steps:
        verdict = judge(step_directory(structure, step), step)
        if verdict.state == "absent":
            how = "seed" if step == "rebuild" else "setup"
            return Outcome(structure, False, f"{step}: it is not set up, see `aims {how}`")
        if verdict.state == "done":
            continue
        if verdict.state == "failed" and not retry:
            return Outcome(structure, False, f"{step}: {verdict.reason}")
        reason = _run_step(structure, step, command, timeout, keep_overlap_text)
        if reason:
            return Outcome(structure, False, f"{step}: {reason}")
    return Outcome(structure, True)


def _run_step(
    structure: Path, step: Step, command: Sequence[str], timeout: float | None, keep_text: bool
) -> str:
    """Run one step, and say what went wrong; empty if nothing did."""
    folder = step_directory(structure, step)
    with _locked(folder) as lock:
        if lock is None:
            return "it is running elsewhere"
        if judge(folder, step).state == "done":  # meanwhile, elsewhere
            return ""
        remove_outputs(folder, step)
        if step == "fit":
            missing = _prepare_fit(structure)
            if missing:
                return missing
        started = time.monotonic()
        reason = execute(folder, command, timeout, keep_open=lock)
        record: dict[str, Any] = {"reason": reason}
        record["seconds"] = round(time.monotonic() - started, 3)
        (folder / RECORD).write_text(json.dumps(record))
        reason = judge(folder, step).reason
        if not reason:
            reason = record["reason"] = _read_back(folder, keep_text) if step == "fit" else ""
            record["sizes"] = sizes(folder)
            (folder / RECORD).write_text(json.dumps(record))
    return reason


def _read_back(folder: Path, keep_text: bool) -> str:
    """Bring an overlap matrix into binary, and read all of the fit: what is wrong, or nothing."""
    try:
        shrink_overlap(folder, remove_text=not keep_text)
        read_ri_fit(folder)
    except (ValueError, OSError) as error:
        return str(error)
    return ""


def execute(
    folder: Path,
    command: Sequence[str],
    timeout: float | None = None,
    *,
    keep_open: IO[bytes] | None = None,
) -> str:
    """Run a command in a directory, its output in ``aims.out``; what went wrong, or nothing.

    Parameters
    ----------
    folder
        The directory.
    command
        Words of the command.
    timeout
        Seconds that it may take.
    keep_open
        File that the process inherits; a lock on it lasts as long as the process, even if this
        one is killed.
    """
    with (folder / OUTPUT).open("wb") as output, (folder / "aims.err").open("wb") as errors:
        try:
            process = subprocess.Popen(
                list(command),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                pass_fds=() if keep_open is None else (keep_open.fileno(),),
                start_new_session=True,
            )
        except OSError as error:
            return f"the command {command[0]!r} cannot be run: {error.strerror}"
        _RUNNING.add(process)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            _kill(process)
            return f"it was stopped after {timeout:g} seconds"
        except BaseException:
            _kill(process)
            raise
        finally:
            _RUNNING.discard(process)
    if code < 0:
        return f"it was ended by signal {signal.Signals(-code).name}"
    return f"it ended with status {code}{_last_words(folder)}" if code else ""


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and its children."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_words(folder: Path) -> str:
    """The last line of the error output."""
    lines = (folder / "aims.err").read_text(errors="replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    return f": {said[-1][:200]}" if said else ""


@contextmanager
def _locked(folder: Path) -> Iterator[IO[bytes] | None]:
    """A lock on a directory; None if somebody else has it."""
    import fcntl  # not there on Windows, where FHI-aims is not either

    with (folder / _LOCK).open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield stream


def remove_outputs(folder: Path, step: Step) -> None:
    """Remove what an earlier run has left, so that nothing of it is taken for new."""
    for pattern in (*_OUTPUTS, *_OUTPUTS_OF[step]):
        for path in folder.glob(pattern):
            path.unlink()


def _prepare_fit(structure: Path) -> str:
    """Bring what the SCF has given into the fit; what is wrong, or nothing."""
    source, target = step_directory(structure, "scf"), step_directory(structure, "fit")
    verdict = judge(source, "scf")
    if verdict.state != "done":
        return f"its density is not there: the SCF is {verdict.state}"
    for path in sorted(source.glob(DENSITY_MATRICES)):
        (target / path.name).symlink_to(Path("..") / "scf" / path.name)
    if not (target / QUANTITY).exists():
        return ""
    chosen = json.loads((target / QUANTITY).read_text())
    assert verdict.output is not None
    try:
        states = read_states(source / STATES)
        window, level = EnergyWindow(**chosen["window"]), verdict.output.fermi_level
        write_weights(target, orbital_weights(states, chosen["quantity"], window, level))
    except (ValueError, FileNotFoundError) as error:
        return str(error)
    return ""
