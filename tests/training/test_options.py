"""Options files: what is in them arrives, and each mistake is named with its remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ase_rholearn.references.pyscf import KohnSham
from ase_rholearn.training.options import (
    BasisOptions,
    GenerateOptions,
    KohnShamOptions,
    TrainOptions,
    load_options,
)
from ase_rholearn.training.options.train import PRESETS, ModelOptions

MINIMAL = "name: m\ndataset: data\noutput: run\n"


def load(folder: Path, text: str) -> TrainOptions:
    (folder / "o.yaml").write_text(text)
    return load_options(TrainOptions, folder / "o.yaml")


def test_minimal_file(tmp_path: Path) -> None:
    """Paths start from the file, so that a command works from any folder."""
    options = load(tmp_path, MINIMAL)
    assert options.dataset == tmp_path / "data"
    assert options.output == tmp_path / "run"
    assert options.gradient.epochs > 0


def test_absolute_paths_stay(tmp_path: Path) -> None:
    options = load(tmp_path, "name: m\ndataset: /data\noutput: /run\n")
    assert options.dataset == Path("/data")


def test_every_section_reaches_its_object() -> None:
    model = {"cutoff": 2.5, "max_angular": 1, "max_radial": 2, "width": 0.2, "smoothing": 0.4}
    options = TrainOptions.model_validate(
        {"name": "m", "dataset": "d", "output": "o", "model": {**model, "gates": 3, "tensors": 2}}
    )
    network = options.model.network()
    assert network.gates == 3
    for name, value in model.items():
        assert getattr(network.density, name) == value
    assert options.start.closed_form().ridge == options.start.ridge


def test_level_of_theory_has_the_defaults_of_references() -> None:
    """Two places say them; they must not drift apart."""
    assert KohnShamOptions().settings() == KohnSham()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("modle: {}", r"modle is not an option: do you mean model\?"),
        ("model: {gate: 3}", r"model\.gate is not an option: do you mean model\.gates\?"),
        ("gradient: {epocs: 1}", r"gradient\.epocs is not an option: do you mean gradient\.epochs"),
        ("loss: {coulomb: much}", r"loss\.coulomb is 'much': Input should be a valid number"),
        ("loss: {coulomb: 2}", r"loss\.coulomb is 2: Input should be less than or equal to 1"),
        ("gradient: {epochs: -1}", r"gradient\.epochs is -1: Input should be greater than or eq"),
        (
            "gradient: {precision: half}",
            r"precision is 'half': Input should be 'float32', ",
        ),
        ("model: []", r"model is \[\]: Input should be a valid dictionary"),
        (
            "model: {tensors: 0, linear: false}",
            r"o\.yaml: tensors is 0 and linear is false: the network would be empty$",
        ),
        ("seed: 1\nsplit: {test: x}\nmodel: {gate: 1}", r"test is 'x'.*; model\.gate is not an"),
    ],
)
def test_mistakes_name_key_value_and_remedy(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(
        ValueError, match=rf"o\.yaml: .*{message}" if "yaml" not in message else message
    ):
        load(tmp_path, MINIMAL + text)


def test_missing_key(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"o\.yaml: name is missing; output is missing$"):
        load(tmp_path, "dataset: d\n")


@pytest.mark.parametrize("text", ["", "just text", "- a\n- b"])
def test_no_options_at_all(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"o\.yaml holds no options: give `key: value` lines"):
        load(tmp_path, text)


def test_not_yaml(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"o\.yaml is not a YAML file: .*line 1"):
        load(tmp_path, "a: [1, 2")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(ValueError, match=r"b\.yaml is not a YAML file"):
        load_options(TrainOptions, tmp_path / "b.yaml")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no options file .*none\.yaml"):
        load_options(TrainOptions, tmp_path / "none.yaml")


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from([*TrainOptions.model_fields, "gates", "epochs", "x"]), inner
            )
        ),
        max_leaves=8,
    )
)
def test_any_content_is_taken_or_refused_with_a_message(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "any.yaml"
    path.write_text(yaml.safe_dump(content))
    try:
        options = load_options(TrainOptions, path)
    except ValueError as error:
        assert "any.yaml" in str(error)  # noqa: PT017
    else:
        assert isinstance(options, TrainOptions)


def test_basis_by_recipe_and_by_name() -> None:
    level = KohnShamOptions(orbital_basis="def2-svp")
    recipe = BasisOptions(
        beta=2.5, l_max={"O": 1}, limits={"H": {0: (0.1, 10.0)}}, deformation=False
    )
    basis = recipe.build(["H", "O"], level)
    assert not basis.atomic_densities
    assert max(shell.l for shell in basis.shells[8]) == 1
    assert basis.radial_functions(1, 0)[0].exponents == (10.0,)
    named = BasisOptions(name="def2-universal-jfit", deformation=False).build(["H"], level)
    assert named.name == "def2-universal-jfit"


def test_deformation_brings_atomic_densities_of_the_same_level() -> None:
    level = KohnShamOptions(orbital_basis="def2-svp")
    basis = BasisOptions(beta=2.5).build(["He"], level)
    assert basis.atomic_densities[2].number_of_electrons == pytest.approx(2)


def test_generate_options_of_the_shipped_recipe() -> None:
    """The file that rebuilds the shipped model must stay readable."""
    recipe = Path(__file__).parents[2] / "models" / "water-pbe" / "generate.yaml"
    options = load_options(GenerateOptions, recipe)
    assert options.structures.exists()


@pytest.mark.parametrize(
    ("workers", "message"),
    [
        ({"kind": "executorlib", "backend": "slurm-cluster"}, r"without a partition, which SLURM"),
        ({"backend": "slurm-job"}, r'backend is given, but only kind = "executorlib" uses it'),
        ({"kind": "dask", "config": "x.py"}, r'config is given, but only kind = "parsl" uses it'),
        ({"count": 0}, r"workers\.count is 0"),
    ],
)
def test_workers_that_make_no_sense(tmp_path: Path, workers: dict[str, Any], message: str) -> None:
    (tmp_path / "g.yaml").write_text(
        yaml.safe_dump({"structures": "x.xyz", "dataset": "d", "workers": workers})
    )
    with pytest.raises(ValueError, match=message):
        load_options(GenerateOptions, tmp_path / "g.yaml")


def test_presets_fill_what_is_left_out() -> None:
    preset = ModelOptions.model_validate({"preset": "medium", "messages": 3})
    assert preset.messages == 3
    assert preset.channels == PRESETS["medium"]["channels"]
    # as a run stores them
    assert ModelOptions.model_validate(preset.model_dump()) == preset


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_architectures(name: str) -> None:
    ModelOptions(preset=name).network()  # type: ignore[arg-type]


def test_unknown_preset() -> None:
    with pytest.raises(ValueError, match="preset"):
        ModelOptions.model_validate({"preset": "huge"})
