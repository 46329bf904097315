"""Plots of spikes and states with matplotlib (`pip install -e '.[viz]'` in a clone), loaded by the first plot."""

from norse.torch.utils.plot.plot import (
    HAS_MATPLOTLIB,
    plot_heatmap_2d,
    plot_heatmap_3d,
    plot_histogram_2d,
    plot_izhikevich,
    plot_neuron_states,
    plot_scatter_3d,
    plot_spikes_2d,
)

__all__ = [
    "HAS_MATPLOTLIB",
    "plot_heatmap_2d",
    "plot_heatmap_3d",
    "plot_histogram_2d",
    "plot_izhikevich",
    "plot_neuron_states",
    "plot_scatter_3d",
    "plot_spikes_2d",
]
