"""Where the published Norse 1.1.0 differs from the equations, ours does not; `docs/parity.md` lists where."""

from collections.abc import Callable

import numpy as np
import pytest

from .black_box import observe_published, skip_without
from .calculation import observe
from .differences import DIFFERENCES
from .observation import Arrays

skip_without()

Both = Callable[[str], tuple[Arrays, Arrays]]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    """What ours gives, and what 1.1.0 gives."""
    runs = {name: {"name": np.array(name)} for name in DIFFERENCES}
    published = observe_published(tmp_path_factory.mktemp("differences"), runs)
    return lambda name: (observe(DIFFERENCES[name], DIFFERENCES[name].compute, {}), published[name])


def test_super_spike_ignores_its_sharpness(both: Both) -> None:
    ours, theirs = both("super_slopes")
    assert theirs["out.0"] == theirs["out.1"]
    assert [ours["out.0"], ours["out.1"]] == pytest.approx([1 / 1.1**2, 1 / 11**2])


def test_erfc_has_a_single_precision_constant(both: Both) -> None:
    ours, theirs = (seen["out"] for seen in both("erfc_slope"))
    assert ours == pytest.approx(2 / np.sqrt(np.pi), rel=1e-15)
    assert 1e-9 < abs(theirs / ours - 1) < 1e-6


def test_layers_start_in_single_precision(both: Both) -> None:
    ours, theirs = (seen["out"] for seen in both("leaky_start"))
    assert ours == 0.1
    assert theirs == pytest.approx(0.1, rel=1e-7)
    assert theirs != 0.1


def test_izhikevich_neurons_compute_their_first_tick_in_single_precision(both: Both) -> None:
    ours, theirs = (seen["out"] for seen in both("izhikevich_start"))
    assert theirs == pytest.approx(ours, rel=1e-6)
    assert theirs != ours


def test_the_input_of_conductances_is_forgotten(both: Both) -> None:
    ours, theirs = (seen["out"] for seen in both("coba_input"))
    assert ours > 0.99
    assert theirs == 0


def test_an_exponential_of_no_width_is_not_a_number_above_the_threshold(both: Both) -> None:
    ours, theirs = both("sharp_exponential")
    assert np.isnan(theirs["out.1.v"][1])
    assert ours["out.0"].tolist() == [0, 1]
    assert np.isfinite(ours["out.1.v"]).all()


def test_there_are_no_biological_defaults(both: Both) -> None:
    ours, theirs = (seen["out"] for seen in both("biological_defaults"))
    assert ours.all()
    assert not theirs.any()


def test_correlation_sensors_take_no_batch(both: Both) -> None:
    ours, theirs = both("batched_sensors")
    assert ours["out.correlation_trace"].shape == (2, 3, 1)
    assert "error" in theirs


def test_the_scale_of_a_population_gets_no_gradient(both: Both) -> None:
    ours, theirs = (seen["out"] for seen in both("population_gradient"))
    assert ours[0] == pytest.approx(theirs[0])
    assert ours[1] != pytest.approx(theirs[1])


def test_poisson_spikes_are_single_precision(both: Both) -> None:
    ours, theirs = (seen["out"] for seen in both("poisson"))
    assert ours.dtype == np.float64
    assert theirs.dtype == np.float32


def test_the_recurrent_adjoint_multiplies_by_the_spikes_after_the_tick(both: Both) -> None:
    ours, theirs = (seen["out"] for seen in both("recurrent_adjoint"))
    assert ours.any(axis=0).tolist() == [True, False]  # i' = ... + W_rec z with the last tick's z
    assert theirs.any(axis=0).tolist() == [False, True]


def test_the_adjoint_of_adaptive_neurons_forgets_how_the_threshold_decays(both: Both) -> None:
    ours, theirs = (seen["out"] for seen in both("adaptive_adjoint, steady"))
    np.testing.assert_allclose(theirs, ours, rtol=1e-6, atol=1e-9)
    ours, theirs = (seen["out"] for seen in both("adaptive_adjoint, decaying"))
    assert abs(theirs - ours).max() > 0.1 * abs(theirs).max()


def test_the_adjoint_of_refractory_neurons_differs_from_that_of_others_without_a_refractory_period(
    both: Both,
) -> None:
    ours, theirs = (seen["out"] for seen in both("refractory_adjoint"))
    plain = both("lif_adjoint")[0]["out"]
    np.testing.assert_allclose(ours, plain)
    assert abs(theirs - plain).max() > 0.1 * abs(plain).max()


@pytest.mark.parametrize(
    "name",
    [
        "decoder",
        "refractory_recurrent_adjoint",
        "compartment_adjoint",
        "adjoint_cell",
        "separate_fields",
        "spatio_temporal_fields",
        "batched_correlation",
        "conductance_adjoint",
    ],
)
def test_what_raises_an_error_there_works_here(name: str, both: Both) -> None:
    ours, theirs = both(name)
    assert np.isfinite(ours["out"]).all()
    assert "error" in theirs


def test_a_copy_learns_autapses(both: Both) -> None:
    ours, theirs = (seen["out"] for seen in both("copied_diagonal"))
    assert not ours.any()
    assert theirs.any()


def test_a_number_of_derivatives_has_the_last_pair_too(both: Both) -> None:
    ours, theirs = (seen["out"].tolist() for seen in both("derivative_pairs"))
    assert ours == [[0, 0], [0, 1], [1, 0]]
    assert theirs == [*ours, [1, 1]]


def test_x_goes_along_the_rows(both: Both) -> None:
    ours, theirs = (seen["out"] for seen in both("derivative_of_columns"))
    assert (ours == 1).all()
    assert not theirs.any()
