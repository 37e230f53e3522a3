"""The command ``ase-rholearn``."""

from __future__ import annotations

import warnings

import typer

from . import (
    aims,
    charges,
    comparison,
    data,
    electrostatics,
    evaluation,
    fields,
    overlap_errors,
    prediction,
    recovery,
    seed,
    selection,
    training,
)

app = typer.Typer(
    name="ase-rholearn",
    help="Electron densities of atoms by machine learning.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    prediction.predict,
    prediction.info,
    fields.cube,
    fields.slice_,
    fields.view,
    electrostatics.esp,
    charges.charges,
    comparison.diff,
    training.generate,
    training.fit,
    training.train,
    evaluation.evaluate,
    training.export,
    training.update,
    selection.select,
    training.options,
):
    app.command(command.__name__.rstrip("_"))(command)
app.add_typer(data.app, name="data")
app.add_typer(seed.app, name="seed")
aims.app.command()(recovery.atoms)
aims.app.command()(recovery.recover)
aims.app.command()(overlap_errors.errors)
app.add_typer(aims.app, name="aims")

#: How warnings begin of structures that a model does not know, of which each is to be seen.
_UNKNOWN = ".* has atoms whose bonds are unlike"

#: Exit status after Ctrl-C, as shells have it.
_INTERRUPTED = 130


def main() -> None:
    """Run the command: mistakes of the user end with one line, not with a traceback."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _say
            warnings.filterwarnings("always", message=_UNKNOWN)
            app()
    except KeyboardInterrupt:
        _fail("interrupted", status=_INTERRUPTED)
    except SystemExit as end:
        if end.code == _INTERRUPTED:  # typer has noticed Ctrl-C and says nothing
            _fail("interrupted", status=_INTERRUPTED)
        raise
    except ModuleNotFoundError as error:
        remedy = f"{error.name} is not installed: pip install 'ase-rholearn[train]'"
        _fail(str(error) if "pip install" in str(error) else remedy)
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        _fail(str(error))


def _say(message: Warning | str, *_: object, **__: object) -> None:
    """A warning as one line."""
    typer.echo(f"ase-rholearn: warning: {message}", err=True)


def _fail(message: str, status: int = 1) -> None:
    typer.echo(f"ase-rholearn: {message}", err=True)
    raise SystemExit(status)
