"""Plots draw what they are given: the data is read back from the axes."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from norse.torch.functional.izhikevich import tonic_bursting, tonic_spiking
from norse.torch.functional.lif import LIFFeedForwardState
from norse.torch.module.lif import LIF, LIFCell
from norse.torch.utils import plot

RASTER = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])  # 3 ticks, 2 neurons


@pytest.fixture(autouse=True)
def figure() -> Iterator[Figure]:
    matplotlib.use("Agg")
    figure = plt.figure()
    yield figure
    figure.canvas.draw()  # whatever was made can be drawn
    plt.close("all")


def axes_of_its_own() -> Axes:
    axes: Axes = Figure().subplots()
    return axes


# ---- over time and neurons -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("draw", [plot.plot_spikes_2d, plot.plot_heatmap_2d])
def test_time_goes_to_the_right_and_neurons_downwards(draw: Any, figure: Figure) -> None:
    axes = draw(RASTER)
    (image,) = axes.images
    assert axes.figure is figure
    np.testing.assert_array_equal(image.get_array(), [[0, 1, 1], [1, 0, 1]])
    assert axes.get_xlim() == (-0.5, 2.5) and axes.get_ylim() == (1.5, -0.5)  # the first neuron is at the top


def test_a_raster_is_black_where_there_is_a_spike() -> None:
    axes = plot.plot_spikes_2d(RASTER)
    (image,) = axes.images
    colours = image.cmap(image.norm(np.array([0.0, 1.0])))
    np.testing.assert_array_equal(colours, [[1, 1, 1, 1], [0, 0, 0, 1]])
    assert all(tick == int(tick) for tick in axes.get_yticks())


def test_the_look_of_an_image_is_the_callers() -> None:
    image = plot.plot_spikes_2d(RASTER, cmap="gray", aspect="equal").images[0]
    assert image.cmap.name == "gray" and image.axes.get_aspect() == 1


def test_a_colour_bar_is_drawn_when_asked_for(figure: Figure) -> None:
    plot.plot_heatmap_2d(RASTER)
    assert len(figure.axes) == 1
    plot.plot_heatmap_2d(RASTER, show_colorbar=True)
    assert len(figure.axes) == 2


def test_a_histogram_counts_each_neurons_values() -> None:
    axes = plot.plot_histogram_2d(RASTER, bins=2)
    assert [bar.get_height() for bar in axes.patches] == [1, 2, 1, 2]
    assert [bar.get_height() for bar in plot.plot_histogram_2d(RASTER[:, 0], axes_of_its_own(), bins=2).patches] == [
        1,
        2,
    ]


@pytest.mark.parametrize("draw", [plot.plot_spikes_2d, plot.plot_heatmap_2d, plot.plot_histogram_2d])
def test_the_given_axes_are_drawn_into(draw: Any, figure: Figure) -> None:
    axes = axes_of_its_own()
    assert draw(RASTER, axes=axes) is axes
    assert not figure.axes


@pytest.mark.parametrize("data", [
    RASTER.to_sparse(), RASTER.clone().requires_grad_(), RASTER.bfloat16(), RASTER.bool(), RASTER.double(),
], ids=["sparse", "learnt", "bfloat16", "bool", "float64"])  # fmt: skip
def test_tensors_of_every_kind_are_drawn(data: torch.Tensor) -> None:
    np.testing.assert_array_equal(plot.plot_spikes_2d(data).images[0].get_array(), RASTER.T)


# ---- states ----------------------------------------------------------------------------------------------------------


def test_states_of_all_ticks_are_lines_over_time() -> None:
    _, states = LIF(record_states=True)(torch.rand(20, 2, 3))
    axes = plot.plot_neuron_states(states, "v", "i")
    assert len(axes.lines) == 12  # of 2 · 3 neurons, each
    for line, expected in zip(axes.lines, [*states.v.flatten(1).T, *states.i.flatten(1).T], strict=True):
        np.testing.assert_array_equal(line.get_ydata(), expected.detach())
        np.testing.assert_array_equal(line.get_xdata(), range(20))
    assert len({line.get_color() for line in axes.lines[:6]}) == len({line.get_color() for line in axes.lines[6:]}) == 1
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["v", "i"]


def test_a_list_of_states_is_drawn_as_the_recorded_ones() -> None:
    x, cell, state, ticks = torch.rand(20, 3), LIFCell(), None, []
    for tick in x:
        _, state = cell(tick, state)
        ticks.append(state)
    _, recorded = LIF(record_states=True)(x)
    lines = plot.plot_neuron_states(ticks, "v").lines
    for line, same in zip(lines, plot.plot_neuron_states(recorded, "v", axes=axes_of_its_own()).lines, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), same.get_ydata())
    assert len({line.get_color() for line in lines}) == 3


def test_a_state_at_rest_has_the_same_number_for_all_neurons() -> None:
    ticks = [LIFFeedForwardState(torch.tensor(0.5), torch.zeros(2)), LIFFeedForwardState(torch.ones(2), torch.zeros(2))]
    assert [line.get_ydata().tolist() for line in plot.plot_neuron_states(ticks, "v").lines] == [[0.5, 1], [0.5, 1]]


def test_no_legend_is_drawn_when_labels_are_off_and_the_look_is_the_callers() -> None:
    axes = plot.plot_neuron_states(
        LIF(record_states=True)(torch.rand(5, 2))[1], "v", "i", label=False, color="red", ls=":"
    )
    assert axes.get_legend() is None
    assert {(line.get_color(), line.get_linestyle()) for line in axes.lines} == {("red", ":")}


def test_states_that_cant_be_drawn_are_refused() -> None:
    state = LIF(record_states=True)(torch.rand(5, 2))[1]
    with pytest.raises(ValueError, match="argument variables: expects at least one name of a field, got none"):
        plot.plot_neuron_states(state)
    with pytest.raises(ValueError, match=r"argument variables: expects fields of the states \(v, i\), got a"):
        plot.plot_neuron_states(state, "a")
    with pytest.raises(ValueError, match="argument states: expects at least one tick's state"):
        plot.plot_neuron_states([], "v")


# ---- sheets of neurons -----------------------------------------------------------------------------------------------


def sheet() -> torch.Tensor:
    spikes = torch.zeros(6, 4, 5)
    spikes[2, 1, 3], spikes[5, 3, 0] = 1.0, 0.25
    return spikes


def limits(axes: Any) -> list[tuple[float, float]]:
    return [axes.get_xlim(), axes.get_ylim(), axes.get_zlim()]


def test_a_heatmap_in_space_has_a_sheet_at_each_active_place_as_opaque_as_it_is_active() -> None:
    axes: Any = plot.plot_heatmap_3d(sheet())
    (sheets,) = axes.collections
    corners = np.asarray(sheets._faces if hasattr(sheets, "_faces") else sheets._vec)[..., :3].reshape(2, 4, 3)
    np.testing.assert_array_equal(corners.mean(1), [[2, 1, 3], [5, 3, 0]])
    np.testing.assert_array_equal(np.ptp(corners, axis=1), [[0, 1, 1], [0, 1, 1]])
    axes.figure.canvas.draw()  # which sorts them by depth
    assert sorted(sheets.get_facecolor()[:, 3]) == [0.25, 1]
    assert limits(axes) == [(0, 5), (0, 3), (0, 4)]


def test_a_heatmap_in_space_takes_colours_and_a_bar(figure: Figure) -> None:
    axes: Any = plot.plot_heatmap_3d(sheet(), show_colorbar=True, cmap="gray")
    axes.figure.canvas.draw()
    assert len(figure.axes) == 2
    np.testing.assert_allclose(max(axes.collections[0].get_facecolor().tolist(), key=sum), [1, 1, 1, 1])


def test_spikes_in_space_are_points_at_their_tick_and_place() -> None:
    (axes,) = plot.plot_scatter_3d(sheet(), show_colorbar=False)
    (points,) = axes.collections
    np.testing.assert_array_equal(np.transpose(points._offsets3d), [[2, 1, 3], [5, 3, 0]])
    np.testing.assert_array_equal(points.get_array(), [1, 0.25])
    assert limits(axes) == [(0, 5), (0, 3), (0, 4)]


def test_each_channel_of_spikes_has_axes_of_its_own_on_one_scale(figure: Figure) -> None:
    on, off = plot.plot_scatter_3d(torch.stack([sheet(), -2 * sheet()], 1))
    assert len(figure.axes) == 4  # each with a colour bar
    assert on.collections[0].get_clim() == off.collections[0].get_clim() == (-2, 1)
    mine = [figure.add_subplot(projection="3d")]
    assert plot.plot_scatter_3d(sheet(), mine) is mine
    with pytest.raises(ValueError, match="argument axes: expects one for each of 2 channels, got 1"):
        plot.plot_scatter_3d(torch.stack([sheet()] * 2, 1), mine)


def test_silence_is_drawn_too() -> None:
    plot.plot_heatmap_3d(torch.zeros(3, 2, 2), show_colorbar=True)
    plot.plot_scatter_3d(torch.zeros(3, 2, 2))
    plot.plot_heatmap_2d(torch.zeros(3, 2))


# ---- Izhikevich's neuron ---------------------------------------------------------------------------------------------


def spike_times(axes: Axes) -> list[float]:
    """Ends of the upstrokes: the potential is lower at the next step."""
    time, v = axes.lines[0].get_data()
    return [float(time[k]) for k in range(1, len(v) - 1) if v[k] > -20 and v[k + 1] < v[k] - 20]  # type: ignore[operator, index]


def test_an_izhikevich_neuron_is_silent_until_the_current_is_switched_on() -> None:
    axes = plot.plot_izhikevich(tonic_spiking, current=14, time_print=100, time_current=10, timestep_print=0.25)
    time, current = axes.lines[1].get_data()
    np.testing.assert_array_equal(time, 0.25 * np.arange(400))
    np.testing.assert_array_equal(current, np.where(np.asarray(time) < 10, 0, 14))
    assert axes.lines[0].get_ydata()[0] == -70 and min(spike_times(axes)) > 10
    assert axes.get_xlabel() == "Time (ms)"


def test_the_plot_is_the_published_simulation() -> None:
    """E. Izhikevich's own integration of tonic bursting: Euler in steps of 0.25 ms, I = 15 from 22 ms on."""
    v, u, expected = -70.0, 0.2 * -70.0, []
    for k in range(880):
        expected.append(v)
        dv = 0.04 * v**2 + 5 * v + 140 - u + (15 if k * 0.25 >= 22 else 0)
        du = 0.02 * (0.2 * v - u)
        v, u = v + 0.25 * dv, u + 0.25 * du
        if v > 30:
            v, u = -50.0, u + 2
    axes = plot.plot_izhikevich(tonic_bursting, current=15, time_print=220, time_current=22, timestep_print=0.25)
    drawn = axes.lines[0].get_ydata()
    np.testing.assert_allclose(drawn[:150], expected[:150], atol=0.02)  # chaos of rounding grows with each spike
    plt.figure()
    times = spike_times(axes)
    pauses = np.diff(times)
    assert (pauses > 20).sum() >= 2 and (pauses < 6).sum() >= 8  # bursts, with pauses between them


def test_a_finer_step_draws_the_same_neuron() -> None:
    coarse = spike_times(plot.plot_izhikevich(tonic_spiking, 14, time_print=100, timestep_print=0.1))
    plt.figure()
    fine = spike_times(plot.plot_izhikevich(tonic_spiking, 14, time_print=100, timestep_print=0.05))
    assert len(coarse) == len(fine) > 2
    assert coarse[0] == pytest.approx(fine[0], abs=0.5)


def test_an_izhikevich_plot_refuses_what_it_cant_simulate() -> None:
    with pytest.raises(TypeError, match="argument behavior: expects an IzhikevichSpikingBehavior, got str"):
        plot.plot_izhikevich("tonic")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="argument timestep_print: expects a time in ms above 0, got 0"):
        plot.plot_izhikevich(tonic_spiking, timestep_print=0)


# ---- all -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("draw", "expected"), [
    (plot.plot_spikes_2d, "[T, N]"), (plot.plot_heatmap_2d, "[T, N]"), (plot.plot_histogram_2d, "[T, N]"),
    (plot.plot_heatmap_3d, "[T, X, Y]"), (plot.plot_scatter_3d, "[T, C, X, Y]"),
])  # fmt: skip
def test_other_shapes_and_things_are_refused(draw: Any, expected: str) -> None:
    with pytest.raises(ValueError) as error:
        draw(torch.zeros(2, 2, 2, 2, 2))
    assert f"expects shape {expected}, got [2, 2, 2, 2, 2]" in str(error.value)
    with pytest.raises(TypeError, match=r"expects a torch\.Tensor, got list"):
        draw([[0.0]])


def test_without_matplotlib_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "matplotlib.pyplot", None)
        with pytest.raises(ImportError, match=r"needs matplotlib .*pip install -e '\.\[viz\]' in a clone"):
            plot.plot_spikes_2d(RASTER)
    assert plot.HAS_MATPLOTLIB


def test_the_library_does_not_load_matplotlib() -> None:
    code = "import sys, norse.torch, norse.torch.utils.plot; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
