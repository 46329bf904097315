"""What the plots of spikes and states show. Each draws into the current figure, or where it is told to."""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from norse.torch.functional.izhikevich import IzhikevichSpikingBehavior, izhikevich_feed_forward_step

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HAS_MATPLOTLIB = find_spec("matplotlib") is not None
"""Whether the plots can be drawn."""


def plot_heatmap_2d(data: Tensor, axes: "Axes | None" = None, show_colorbar: bool = False, **kwargs: Any) -> "Axes":
    """Draws activity as colours: time to the right, neurons from top to bottom.

    Args:
        data: [T, N]: spikes, potentials or others.
        axes: where to draw; None means the current axes.
        show_colorbar: whether to draw the scale beside it.
        kwargs: passed on to matplotlib's `imshow`.

    Returns:
        The axes.

    Raises:
        ImportError: if matplotlib is not installed.
        TypeError, ValueError: if data is no tensor of two dimensions.

    Example:
        >>> from matplotlib.figure import Figure
        >>> axes = plot_heatmap_2d(torch.rand(100, 20), Figure().subplots())
        >>> axes.images[0].get_array().shape
        (20, 100)
    """
    values = _values("plot_heatmap_2d", "data", data, "[T, N]")
    axes = _axes("plot_heatmap_2d", axes)
    image = axes.imshow(values.T.numpy(), **{"aspect": "auto", "interpolation": "none", **kwargs})
    if show_colorbar:
        axes.figure.colorbar(image, ax=axes)
    return axes


def plot_heatmap_3d(spikes: Tensor, show_colorbar: bool = False, **kwargs: Any) -> "Axes":
    """Draws activity of a sheet of neurons as a stack of coloured sheets along time.

    The stronger the activity, the more opaque; where there is none, nothing is drawn.

    Args:
        spikes: [T, X, Y].
        show_colorbar: whether to draw the scale beside it.
        kwargs: passed on to matplotlib's `Poly3DCollection`; cmap is the colour map.

    Returns:
        New three-dimensional axes (time, x, y) in the current figure.

    Raises:
        ImportError: if matplotlib is not installed.
        TypeError, ValueError: if spikes is no tensor of three dimensions.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> figure = plt.figure()
        >>> axes = plot_heatmap_3d((torch.rand(5, 8, 8) < 0.1).float())
        >>> axes.get_xlabel(), axes.get_ylabel(), axes.get_zlabel()
        ('Time', 'x', 'y')
        >>> plt.close()
    """
    values = _values("plot_heatmap_3d", "spikes", spikes, "[T, X, Y]")
    plt = _pyplot("plot_heatmap_3d")
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection  # type: ignore[import-untyped]

    axes = plt.gcf().add_subplot(projection="3d")
    colours = ScalarMappable(Normalize(*_range(values)), kwargs.pop("cmap", None))
    where = values.nonzero()
    corners = torch.tensor([[0.0, -0.5, -0.5], [0.0, 0.5, -0.5], [0.0, 0.5, 0.5], [0.0, -0.5, 0.5]])
    strengths = values[tuple(where.T)]
    faces = colours.to_rgba(strengths.numpy())
    faces[:, 3] = strengths.abs() / strengths.abs().amax().clamp(min=1e-38) if len(where) else 1.0
    sheets = Poly3DCollection((where[:, None] + corners).numpy(), **{"facecolors": faces, **kwargs})
    axes.add_collection3d(sheets)
    _name_dimensions(axes, values)
    if show_colorbar:
        axes.figure.colorbar(colours, ax=axes)
    return axes  # type: ignore[no-any-return]


def plot_neuron_states(
    states: Any, *variables: str, label: bool = True, axes: "Axes | None" = None, **kwargs: Any
) -> "Axes":
    """Draws fields of neurons' states over time, one line a neuron.

    Args:
        states: the states of all ticks: a list of them, or one whose fields are [T, ...] as of record_states=True.
        variables: the fields' names, such as "v", "i"; at least one.
        label: whether to name each field in a legend.
        axes: where to draw; None means the current axes.
        kwargs: passed on to matplotlib's `plot`.

    Returns:
        The axes.

    Raises:
        ImportError: if matplotlib is not installed.
        ValueError: if there are no ticks or variables, or the states have no such field.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from norse.torch.module.lif import LIF
        >>> z, states = LIF(record_states=True)(torch.rand(100, 1, 3))
        >>> axes = plot_neuron_states(states, "v", "i", axes=Figure().subplots())
        >>> len(axes.lines), [text.get_text() for text in axes.get_legend().get_texts()]
        (6, ['v', 'i'])
    """
    if not variables:
        raise ValueError("plot_neuron_states: argument variables: expects at least one name of a field, got none")
    if isinstance(states, list) and not states:
        raise ValueError("plot_neuron_states: argument states: expects at least one tick's state, got an empty list")
    recorded = [_recorded(states, name) for name in variables]
    axes = _axes("plot_neuron_states", axes)
    for index, (name, values) in enumerate(zip(variables, recorded, strict=True)):
        # Several fields have a colour each; of one field, each neuron has.
        colour = {"color": f"C{index}"} if len(variables) > 1 else {}
        lines = axes.plot(values.numpy(), **{**colour, **kwargs})
        if label and lines:
            lines[0].set_label(name)
    if label:
        axes.legend()
    return axes


def plot_histogram_2d(spikes: Tensor, axes: "Axes | None" = None, **kwargs: Any) -> "Axes":
    """Draws how often each value occurs, one colour a neuron.

    Args:
        spikes: [T, N], or [T] of one neuron.
        axes: where to draw; None means the current axes.
        kwargs: passed on to matplotlib's `hist`, such as bins.

    Returns:
        The axes.

    Raises:
        ImportError: if matplotlib is not installed.
        TypeError, ValueError: if spikes is no tensor of one or two dimensions.

    Example:
        >>> from matplotlib.figure import Figure
        >>> axes = plot_histogram_2d(torch.tensor([[0.0], [1.0], [1.0]]), Figure().subplots(), bins=2)
        >>> [float(bar.get_height()) for bar in axes.patches]
        [1.0, 2.0]
    """
    spikes = spikes[:, None] if isinstance(spikes, Tensor) and spikes.dim() == 1 else spikes
    values = _values("plot_histogram_2d", "spikes", spikes, "[T, N]")
    axes = _axes("plot_histogram_2d", axes)
    axes.hist(values.numpy(), **kwargs)
    return axes


def plot_scatter_3d(
    spikes: Tensor, axes: "list[Axes] | None" = None, show_colorbar: bool = True, **kwargs: Any
) -> "list[Axes]":
    """Draws the spikes of a sheet of neurons as points in time and space, in the colour of their value.

    Args:
        spikes: [T, X, Y], or [T, C, X, Y], of which every channel has axes of its own.
        axes: three-dimensional ones, one for each channel; None means new ones in the current figure, side by side.
        show_colorbar: whether to draw the scale beside each.
        kwargs: passed on to matplotlib's `scatter`.

    Returns:
        The axes (time, x, y) of each channel.

    Raises:
        ImportError: if matplotlib is not installed.
        TypeError, ValueError: if spikes is no tensor of three or four dimensions; if there are not as many axes as
            channels.

    Example:
        >>> from matplotlib.figure import Figure
        >>> spikes = torch.zeros(10, 2, 4, 4)
        >>> spikes[3, 0, 1, 2] = 1.0
        >>> on_and_off = Figure().subplots(1, 2, subplot_kw={"projection": "3d"})
        >>> on, off = plot_scatter_3d(spikes, list(on_and_off))
        >>> on.get_xlabel(), on.get_ylabel(), on.get_zlabel()
        ('Time', 'x', 'y')
    """
    spikes = spikes[:, None] if isinstance(spikes, Tensor) and spikes.dim() == 3 else spikes
    values = _values("plot_scatter_3d", "spikes", spikes, "[T, C, X, Y]")
    plt = _pyplot("plot_scatter_3d")
    channels = values.shape[1]
    if axes is None:
        axes = [plt.gcf().add_subplot(1, channels, c + 1, projection="3d") for c in range(channels)]
    if len(axes) != channels:
        raise ValueError(
            f"plot_scatter_3d: argument axes: expects one for each of {channels} channels, got {len(axes)}"
        )
    low, high = _range(values)
    for channel, ax in zip(values.unbind(1), axes, strict=True):
        where = channel.nonzero()
        points: Any = ax.scatter(
            *where.T.numpy(), **{"c": channel[tuple(where.T)].numpy(), "vmin": low, "vmax": high, **kwargs}
        )
        _name_dimensions(ax, channel)
        if show_colorbar:
            ax.figure.colorbar(points, ax=ax)
    return axes


def plot_spikes_2d(spikes: Tensor, axes: "Axes | None" = None, **kwargs: Any) -> "Axes":
    """Draws a raster of spikes, black on white: time to the right, neurons from top to bottom.

    Args:
        spikes: [T, N].
        axes: where to draw; None means the current axes.
        kwargs: passed on to matplotlib's `imshow`.

    Returns:
        The axes.

    Raises:
        ImportError: if matplotlib is not installed.
        TypeError, ValueError: if spikes is no tensor of two dimensions.

    Example:
        >>> from matplotlib.figure import Figure
        >>> axes = plot_spikes_2d((torch.rand(100, 20) < 0.1).float(), Figure().subplots())
        >>> axes.images[0].get_cmap().name
        'binary'
    """
    axes = plot_heatmap_2d(spikes, _axes("plot_spikes_2d", axes), **{"cmap": "binary", **kwargs})
    axes.locator_params(axis="y", integer=True)  # neurons are counted
    return axes


def plot_izhikevich(
    behavior: IzhikevichSpikingBehavior,
    current: float = 1,
    time_print: int = 250,
    time_current: int = 20,
    timestep_print: float = 0.1,
) -> "Axes":
    """Draws the membrane potential of an Izhikevich neuron and the current that is switched on after a while.

    Times are those of the published equations, dv/dt = 0.04 v² + 5 v + 140 - u + I with t in ms: a time step is
    dt = timestep_print / τ⁻¹ of `izhikevich_feed_forward_step`.

    Source: E. Izhikevich, "Which model to use for cortical spiking neurons?", IEEE Trans. Neural Netw. 15 (2004).

    Args:
        behavior: parameters and initial state, such as `tonic_spiking`.
        current: I from time_current on, dimensionless.
        time_print: how long to simulate, in ms.
        time_current: when the current is switched on, in ms.
        timestep_print: time step in ms.

    Returns:
        The current axes, with two lines: potential and current.

    Raises:
        ImportError: if matplotlib is not installed.
        TypeError: if behavior is no spiking behaviour.
        ValueError: if a time is not positive.

    Example:
        >>> from norse.torch.functional.izhikevich import tonic_spiking
        >>> import matplotlib.pyplot as plt
        >>> figure = plt.figure()
        >>> axes = plot_izhikevich(tonic_spiking, current=14, time_print=50)
        >>> potential, current = axes.lines
        >>> bool(potential.get_ydata().max() > 0), current.get_ydata()[[0, -1]].tolist()
        (True, [0.0, 14.0])
        >>> plt.close()
    """
    if not isinstance(behavior, IzhikevichSpikingBehavior):
        raise TypeError(
            "plot_izhikevich: argument behavior: expects an IzhikevichSpikingBehavior, got " + type(behavior).__name__
        )
    for name, value in (("time_print", time_print), ("timestep_print", timestep_print)):
        if not value > 0:
            raise ValueError(f"plot_izhikevich: argument {name}: expects a time in ms above 0, got {value}")
    axes: Axes = _axes("plot_izhikevich", None)
    p, state = behavior.p, behavior.s
    dt = timestep_print / float(p.tau_inv)
    times = torch.arange(round(time_print / timestep_print)) * timestep_print
    currents = torch.where(times < time_current, 0.0, float(current))
    potentials = []
    with torch.no_grad():
        for x in currents:
            potentials.append(float(state.v))
            _, state = izhikevich_feed_forward_step(x, state, p, dt)
    axes.plot(times.numpy(), potentials, label="Membrane potential (mV)")
    axes.plot(times.numpy(), currents.numpy(), label="Current")
    axes.set_xlabel("Time (ms)")
    axes.legend()
    return axes


def _pyplot(function: str) -> Any:
    try:
        import matplotlib.pyplot as plt
    except ModuleNotFoundError as error:
        raise ImportError(f"{function}: needs matplotlib ({error}): pip install -e '.[viz]' in a clone") from error
    return plt


def _axes(function: str, given: Any) -> Any:
    plt = _pyplot(function)
    return plt.gca() if given is None else given


def _values(function: str, argument: str, data: Any, dimensions: str) -> Tensor:
    if not isinstance(data, Tensor):
        raise TypeError(f"{function}: argument {argument}: expects a torch.Tensor, got {type(data).__name__}")
    if data.dim() != dimensions.count(",") + 1:
        raise ValueError(f"{function}: argument {argument}: expects shape {dimensions}, got {list(data.shape)}")
    return _dense(data)


def _dense(data: Tensor) -> Tensor:
    """What numpy can read: sparse, learnt, half-precision and device tensors too."""
    return data.detach().to_dense().cpu().float()


def _recorded(states: Any, name: str) -> Tensor:
    """A field of the states of all ticks, [T, neurons]."""
    ticks = states if isinstance(states, list) else [states]
    values = [value for state in ticks if isinstance(value := getattr(state, name, None), Tensor)]
    if len(values) < len(ticks):
        fields = ", ".join(getattr(ticks[0], "_fields", ())) or "none"
        raise ValueError(f"plot_neuron_states: argument variables: expects fields of the states ({fields}), got {name}")
    dense = [_dense(value) for value in values]
    # A state at rest may hold one number for all neurons.
    over_time = torch.stack(torch.broadcast_tensors(*dense)) if isinstance(states, list) else dense[0]
    return over_time.reshape(over_time.shape[0] if over_time.dim() else 1, -1)


def _range(values: Tensor) -> tuple[float, float]:
    """Of the colours: from nothing, or the most negative value, to the greatest."""
    if not values.numel():
        return 0.0, 1.0
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    return low, high if high > low else low + 1.0


def _name_dimensions(axes: Any, values: Tensor) -> None:
    for dimension, size, name in zip("xyz", values.shape, ("Time", "x", "y"), strict=True):
        axes.set(**{f"{dimension}label": name, f"{dimension}lim": (0, max(1, size - 1))})
