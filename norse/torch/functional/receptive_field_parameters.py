"""Tables of parameters of receptive fields: all combinations of scales, angles, ratios, places and derivatives."""

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

COLUMNS = ("scale", "angle", "ratio", "x", "y", "dx", "dy")

ORIGIN = torch.tensor([0.0])

Derivatives = int | Sequence[tuple[int, int]] | Tensor


def spatial_parameters(
    scales: Tensor,
    angles: Tensor,
    ratios: Tensor,
    derivatives: Derivatives,
    x: Tensor = ORIGIN,
    y: Tensor = ORIGIN,
    include_replicas: bool = False,
) -> Tensor:
    """A table of all combinations, for `spatial_receptive_fields_with_derivatives`.

    The last column varies fastest. Circular fields (ratio 1) look the same at all angles: they come last, and with the
    first angle only.

    Args:
        scales: variances, [scales].
        angles: in radians, [angles].
        ratios: of the axes, dimensionless, [ratios].
        derivatives: pairs (dx, dy) of orders, a list or a tensor [n, 2]; a number n means all pairs of 0..n except for
            (n, n), and 0 means (0, 0).
        x: centres' first coordinates, [x].
        y: centres' second coordinates, [y].
        include_replicas: whether circular fields come at all angles, in the plain order of the combinations.

    Returns:
        Rows (scale, angle, ratio, x, y, dx, dy), [n, 7]. Gradients flow to everything but the derivatives.

    Raises:
        ValueError: if an argument has more than one dimension, or derivatives are negative or no pairs.

    Example:
        >>> spatial_parameters(torch.tensor([1.0]), torch.tensor([0.0, 0.5]), torch.tensor([1.0, 2.0]), 0)
        tensor([[1.0000, 0.0000, 2.0000, 0.0000, 0.0000, 0.0000, 0.0000],
                [1.0000, 0.5000, 2.0000, 0.0000, 0.0000, 0.0000, 0.0000],
                [1.0000, 0.0000, 1.0000, 0.0000, 0.0000, 0.0000, 0.0000]])
    """
    values = quantities(scales, angles, ratios, x, y)
    rows, orders = combinations(values, derivatives, include_replicas)
    columns = [value[row] for value, row in zip(values, rows.to(values[0].device).unbind(1), strict=True)]
    return torch.cat([torch.stack(columns, 1), columns[0].new_tensor(orders)], 1)


def quantities(scales: Tensor, angles: Tensor, ratios: Tensor, x: Tensor, y: Tensor) -> list[Tensor]:
    """The quantities of receptive fields as vectors of one dtype on one device, those of the scales.

    Args:
        scales: variances, [scales].
        angles: in radians, [angles].
        ratios: of the axes, dimensionless, [ratios].
        x: centres' first coordinates, [x].
        y: centres' second coordinates, [y].

    Returns:
        The vectors, in this order.

    Raises:
        ValueError: if an argument has more than one dimension.

    Example:
        >>> quantities(torch.tensor([1, 2]), *[torch.tensor(0.5)] * 4)[:2]
        [tensor([1., 2.]), tensor([0.5000])]
    """
    named = (("scales", scales), ("angles", angles), ("ratios", ratios), ("x", x), ("y", y))
    values = [vector(name, value) for name, value in named]
    return [value.to(values[0]) for value in values]


def combinations(
    values: Sequence[Tensor], derivatives: Derivatives, include_replicas: bool = False
) -> tuple[Tensor, list[tuple[int, int]]]:
    """Which values meet in each row of `spatial_parameters`.

    Args:
        values: scales, angles, ratios, x and y, vectors.
        derivatives: as in `spatial_parameters`.
        include_replicas: as in `spatial_parameters`.

    Returns:
        For each row the places of its values in their vectors, [n, 5] on the CPU, and its orders (dx, dy).

    Raises:
        ValueError: if derivatives are negative or no pairs.

    Example:
        >>> combinations([torch.tensor([1.0, 2.0])] + [torch.tensor([1.0])] * 4, [(1, 0)])
        (tensor([[0, 0, 0, 0, 0],
                [1, 0, 0, 0, 0]]), [(1, 0), (1, 0)])
    """
    rows = list(product(*(range(len(value)) for value in values)))
    if not include_replicas:
        circular = [ratio == 1 for ratio in values[2].detach().tolist()]
        rows = [row for row in rows if not circular[row[2]]] + [row for row in rows if circular[row[2]] and row[1] == 0]
    orders = derivative_pairs(derivatives)
    places = torch.tensor([row for row in rows for _ in orders], dtype=torch.int64).reshape(-1, len(values))
    return places, orders * len(rows)


def derivative_pairs(derivatives: Derivatives) -> list[tuple[int, int]]:
    """Orders of derivation as pairs of numbers.

    Args:
        derivatives: as in `spatial_parameters`.

    Returns:
        Pairs (dx, dy).

    Raises:
        ValueError: if they are negative, or no pairs.

    Example:
        >>> derivative_pairs(1), derivative_pairs(torch.tensor([[2, 0]]))
        ([(0, 0), (0, 1), (1, 0)], [(2, 0)])
    """
    given = derivatives.tolist() if isinstance(derivatives, Tensor) else derivatives
    if isinstance(given, int) and given >= 0:
        orders = range(given + 1)
        return [pair for pair in product(orders, orders) if pair != (given, given) or given == 0]
    if isinstance(given, list | tuple) and given and all(_is_pair(pair) for pair in given):
        return [(int(dx), int(dy)) for dx, dy in given]
    raise ValueError(
        "spatial_parameters: argument derivatives: expects a whole number of at least 0, or pairs (dx, dy) of them, "
        f"got {derivatives!r}"
    )


def spatio_temporal_parameters(
    scales: Tensor,
    angles: Tensor,
    ratios: Tensor,
    derivatives: Derivatives,
    temporal_scales: Tensor,
    include_replicas: bool = False,
) -> Tensor:
    """All combinations of `spatial_parameters` at the origin with temporal scales, which vary fastest.

    Args:
        scales: variances, [scales].
        angles: in radians, [angles].
        ratios: of the axes, dimensionless, [ratios].
        derivatives: as in `spatial_parameters`.
        temporal_scales: such as those of `temporal_scale_distribution`, [temporal].
        include_replicas: as in `spatial_parameters`.

    Returns:
        Rows (scale, angle, ratio, x, y, dx, dy, temporal scale), [n · temporal, 8].

    Raises:
        ValueError: as `spatial_parameters`.

    Example:
        >>> one = torch.tensor([1.0])
        >>> spatio_temporal_parameters(one, one, one, 0, torch.tensor([2.0, 3.0]))
        tensor([[1., 1., 1., 0., 0., 0., 0., 2.],
                [1., 1., 1., 0., 0., 0., 0., 3.]])
    """
    rows = spatial_parameters(scales, angles, ratios, derivatives, include_replicas=include_replicas)
    times = vector("temporal_scales", temporal_scales).to(rows)
    return torch.cat([rows.repeat_interleave(len(times), 0), times.repeat(len(rows))[:, None]], 1)


def temporal_scale_distribution(
    n_scales: int, min_scale: float = 1, max_scale: float | None = None, c: float | None = 1.41421
) -> Tensor:
    """Temporal scales in a geometric series: √τ_k for k = 1..n.

    τ_k = c^(2 (k - n)) τ_max,  τ_max = c^(2 (n - 1)) τ_min

    With a given τ_max, c = (τ_min / τ_max)^(1 / (2 (n - 1))): the scales fall from τ_max² / τ_min to τ_max. A single
    scale is √τ_min.

    Source: T. Lindeberg, "Time-causal and time-recursive spatio-temporal receptive fields", J. Math. Imaging Vis. 55
    (2016).

    Args:
        n_scales: n.
        min_scale: τ_min, above 0.
        max_scale: τ_max, above 0; None means that c gives it.
        c: ratio of neighbouring √τ, above 1; not used with max_scale.

    Returns:
        √τ_k, [n], in the unit of √τ_min.

    Raises:
        ValueError: if n_scales is negative, a scale is not above 0, or neither max_scale nor c is given.

    Example:
        >>> temporal_scale_distribution(3, c=2.0), temporal_scale_distribution(3, min_scale=1, max_scale=4)
        (tensor([1., 2., 4.]), tensor([4.0000, 2.8284, 2.0000]))
    """
    if n_scales < 0:
        raise ValueError(f"temporal_scale_distribution: argument n_scales: expects at least 0, got {n_scales}")
    for name, value in (("min_scale", min_scale), ("max_scale", max_scale), ("c", c)):
        if value is not None and not value > 0:
            raise ValueError(f"temporal_scale_distribution: argument {name}: expects a number above 0, got {value}")
    if n_scales < 2:
        return torch.full((n_scales,), float(min_scale)).sqrt()
    if max_scale is not None:
        c = (min_scale / max_scale) ** (1 / (2 * (n_scales - 1)))
    elif c is not None:
        max_scale = c ** (2 * (n_scales - 1)) * min_scale
    else:
        raise ValueError("temporal_scale_distribution: expects max_scale or c, got None for both")
    return torch.tensor([(c ** (2 * (k - n_scales)) * max_scale) ** 0.5 for k in range(1, n_scales + 1)])


def vector(name: str, values: Tensor) -> Tensor:
    """Floating point numbers in one dimension.

    Args:
        name: what to call them in an error.
        values: numbers, or one number.

    Returns:
        The values, [n].

    Raises:
        ValueError: if they have more than one dimension.

    Example:
        >>> vector("scale", torch.tensor(2))
        tensor([2.])
    """
    values = torch.as_tensor(values)
    if values.dim() > 1:
        raise ValueError(f"receptive fields: argument {name}: expects one dimension, got shape {list(values.shape)}")
    return (values if values.is_floating_point() else values.to(torch.get_default_dtype())).reshape(-1)


def _is_pair(pair: object) -> bool:
    return (
        isinstance(pair, list | tuple)
        and len(pair) == 2
        and all(isinstance(order, int | float) and order >= 0 and order == int(order) for order in pair)
    )
