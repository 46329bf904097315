"""Layers whose weights are rounded at every call, so that they can be trained; and what is left of them afterwards."""

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from norse.torch.functional.quantization import (
    POTENTIALS,
    RATES,
    QuantizedStep,
    quantize_weights,
    round_straight_through,
)
from norse.torch.module.neuron import Neuron


class QuantizedWeights(NamedTuple):
    """One tensor of weights of a quantised model.

    Args:
        name: the module's path and the tensor's name.
        weights: as they are trained.
        scale: what 1 of their integers stands for, one number or one for each output.
        bits: of a weight.
    """

    name: str
    weights: Tensor
    scale: Tensor
    bits: int

    @property
    def rounded(self) -> Tensor:
        """The weights that the model computes with."""
        return quantize_weights(self.weights, self.scale, self.bits)

    @property
    def in_units(self) -> Tensor:
        """The weights in units of the scale, not rounded."""
        scale = self.scale.reshape(-1, *[1] * (self.weights.dim() - 1)) if self.scale.dim() else self.scale
        return (self.weights / scale).detach()

    @property
    def integers(self) -> Tensor:
        """What a chip stores."""
        most = 2.0 ** (self.bits - 1) - 1
        return torch.round(torch.clamp(self.in_units, -most, most))


class RoundedWeights(NamedTuple):
    """What a quantised layer computes with.

    Args:
        weight: multiples of the layer's scale.
        bias: the same, None if the layer has none.
    """

    weight: Tensor
    bias: Tensor | None


class QuantizedLayer(nn.Module):
    """What the layers below have in common: a scale, and weights that are rounded to its multiples.

    A bias is rounded to multiples as well, of any size, as it is added to what the weights sum up to.
    """

    scale: Tensor
    bits: int

    def rounded(self) -> RoundedWeights:
        """Weight and bias as the layer computes with them: `rounded().weight`, `rounded().bias`.

        Gradients pass the rounding straight through to the layer's `weight` and `bias`, which are in floating point.

        Returns:
            A named tuple of both.

        Example:
            >>> import norse, norse.torch as snn
            >>> quantized = norse.quantize(snn.SequentialState(torch.nn.Linear(3, 4, bias=False), snn.LIF()), bits=4)
            >>> weight, bias = quantized[0].rounded()
            >>> weight.shape, bias
            (torch.Size([4, 3]), None)
        """
        layer: Any = self  # a Linear or a convolution as well
        weight = quantize_weights(layer.weight, self.scale, self.bits)
        if layer.bias is None:
            return RoundedWeights(weight, None)
        return RoundedWeights(weight, round_straight_through(layer.bias / self.scale) * self.scale)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, bits={self.bits}"


class QuantizedLinear(QuantizedLayer, nn.Linear):
    """`torch.nn.Linear` with rounded weights; `norse.quantize` makes it."""

    def forward(self, input: Tensor) -> Tensor:
        weight, bias = self.rounded()
        return functional.linear(input, weight, bias)


class QuantizedConv1d(QuantizedLayer, nn.Conv1d):
    """`torch.nn.Conv1d` with rounded weights; `norse.quantize` makes it."""

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, *self.rounded())  # type: ignore[no-any-return]


class QuantizedConv2d(QuantizedLayer, nn.Conv2d):
    """`torch.nn.Conv2d` with rounded weights; `norse.quantize` makes it."""

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, *self.rounded())  # type: ignore[no-any-return]


def weight_and_bias(layer: Any) -> tuple[Tensor, Tensor | None]:
    """What a linear layer or a convolution multiplies by and adds: rounded, if it is quantised.

    Args:
        layer: of torch, or one of those above.

    Returns:
        Its weight and its bias.
    """
    return layer.rounded() if isinstance(layer, QuantizedLayer) else (layer.weight, layer.bias)


QUANTIZED: Mapping[type, type] = {
    nn.Linear: QuantizedLinear,
    nn.Conv1d: QuantizedConv1d,
    nn.Conv2d: QuantizedConv2d,
}
_PLAIN: Mapping[type, type] = {quantized: plain for plain, quantized in QUANTIZED.items()}


def quantized_weights(model: nn.Module) -> dict[str, QuantizedWeights]:
    """All tensors of weights of a quantised model by their names, in the order of its modules.

    These are the weights of layers and the input and recurrent weights of neurons, not biases.

    Args:
        model: of `norse.quantize`; of any other there are none.

    Returns:
        A dictionary: the tensor's name, as in `named_parameters`, to the weights with their scale and bits, and with
        what is made of them: `integers`, which a chip stores, and `rounded`, which is `integers` times `scale`.

    Example:
        >>> import norse, norse.torch as snn
        >>> quantized = norse.quantize(snn.SequentialState(torch.nn.Linear(3, 4), snn.LIFRecurrent(4, 5)), bits=4)
        >>> weights = snn.quantized_weights(quantized)
        >>> list(weights)
        ['0.weight', '1.input_weights', '1.recurrent_weights']
        >>> int(weights["0.weight"].integers.abs().max())
        7
    """
    found = {}
    for path, module in model.named_modules():
        prefix = f"{path}." if path else ""
        if isinstance(module, QuantizedLayer):
            name = f"{prefix}weight"
            found[name] = QuantizedWeights(name, module.get_parameter("weight"), module.scale, module.bits)
        elif isinstance(module, Neuron) and isinstance(module.activation, QuantizedStep):
            step, scale = module.activation, module.get_buffer("scale")
            for weights in module.weight_names[: step.weights]:
                name = f"{prefix}{weights}"
                found[name] = QuantizedWeights(name, getattr(module, weights), scale, step.precision.weights)
    return found


def is_quantized(model: nn.Module) -> bool:
    """Whether any of its modules rounds at every call."""
    return any(
        isinstance(module, QuantizedLayer)
        or (isinstance(module, Neuron) and isinstance(module.activation, QuantizedStep))
        for module in model.modules()
    )


def freeze_quantized(model: nn.Module) -> nn.Module:
    """The plain network that a quantised one is: rounded numbers in torch's layers and the library's neurons.

    Its outputs are those of the quantised model, and it runs faster; trained on, its weights would leave their grid.
    Neurons whose states are integers keep their step, which rounds.

    Args:
        model: of `norse.quantize`; it stays as it is.

    Returns:
        A copy.

    Raises:
        TypeError: if model is no module.

    Example:
        >>> import norse, norse.torch as snn
        >>> quantized = norse.quantize(snn.SequentialState(torch.nn.Linear(3, 4), snn.LIF()), bits=4)
        >>> frozen = norse.freeze_quantized(quantized)
        >>> type(frozen[0]).__name__, bool((frozen[0].weight == quantized[0].rounded().weight).all())
        ('Linear', True)
    """
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"norse.freeze_quantized: argument model: expects a torch.nn.Module, got {type(model).__name__}"
        )
    model = copy.deepcopy(model)
    with torch.no_grad():
        for module in list(model.modules()):
            if isinstance(module, QuantizedLayer):
                _freeze_layer(module)
            elif isinstance(module, Neuron) and isinstance(module.activation, QuantizedStep):
                _freeze_neuron(module, module.activation)
    return model


def _freeze_layer(layer: Any) -> None:
    weight, bias = layer.rounded()
    _replace(layer, "weight", weight)
    if bias is not None:
        _replace(layer, "bias", bias)
    del layer.scale, layer.bits
    layer.__class__ = _PLAIN[type(layer)]


def _freeze_neuron(neuron: Any, step: QuantizedStep) -> None:
    _, (*rounded, _, p, _) = step.prepared(
        (*(getattr(neuron, name) for name in neuron.weight_names), neuron.p, neuron.dt)
    )
    for name, value in zip(neuron.weight_names, rounded, strict=False):
        _replace(neuron, name, value)
    set_parameters(neuron, p)
    if step.precision.states is None:
        neuron.activation = step.step
        if isinstance(neuron.activation_sparse, QuantizedStep):
            neuron.activation_sparse = neuron.activation_sparse.step
        del neuron.weight_names  # the class's own are left
        del neuron.scale


def _replace(module: Any, name: str, value: Tensor) -> None:
    """Another tensor in place of a parameter or buffer, which may be that of another module too."""
    old = getattr(module, name)
    setattr(module, name, nn.Parameter(value, old.requires_grad) if isinstance(old, nn.Parameter) else value)


def set_parameters(neuron: Any, p: Any, learnt: bool = True) -> None:
    """Gives a neuron the decays and potentials of p; those that are learnt stay the parameters that they are."""
    before = neuron.p
    for name in (*RATES, *POTENTIALS):
        old = getattr(before, name, None)
        if isinstance(old, nn.Parameter):
            if learnt:
                new = getattr(p, name).detach()
                old.data = new.clone() if new.shape != old.shape else old.data.copy_(new)
            p = p._replace(**{name: old})
        elif old is not None:
            p = p._replace(**{name: getattr(p, name).detach()})
    neuron.p = p
