"""How the image networks start: weights for layers, and a clear word where trained ones are asked for."""

import torch


def initialise(network: torch.nn.Module) -> None:
    """Sets the first weights of a network, in place.

    Convolutions: N(0, 2 / fan out), biases 0 (K. He et al., "Delving deep into rectifiers", ICCV 2015); linear
    layers: N(0, 0.01²), biases 0 (A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet classification with deep
    convolutional neural networks", NeurIPS 2012); normalisation: scale 1, shift 0.

    Args:
        network: any module.

    Example:
        >>> layer = torch.nn.Linear(2, 3)
        >>> initialise(layer)
        >>> layer.bias.tolist()
        [0.0, 0.0, 0.0]
    """
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, 0.0, 0.01)
        elif isinstance(module, torch.nn.BatchNorm2d | torch.nn.GroupNorm):
            torch.nn.init.ones_(module.weight)
        else:
            continue
        if module.bias is not None:
            torch.nn.init.zeros_(module.bias)


def refuse_pretrained(name: str, pretrained: bool) -> None:
    """Nobody published trained weights of these spiking networks, and nothing is downloaded.

    Args:
        name: the network's.
        pretrained: whether trained weights are asked for.

    Raises:
        ValueError: if they are.

    Example:
        >>> refuse_pretrained("vgg11", False)
    """
    if pretrained:
        raise ValueError(
            f"{name}: argument pretrained: expects False, got {pretrained}; there are no trained weights of the "
            "spiking network to download. Train it, or load a file of your own with load_state_dict"
        )
