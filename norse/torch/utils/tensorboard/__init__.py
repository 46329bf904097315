"""Hooks that write neurons' activity to TensorBoard."""

from norse.torch.utils.tensorboard.tensorboard import (
    HAS_TENSORBOARD,
    hook_spike_activity_mean,
    hook_spike_activity_sum,
    hook_spike_histogram_mean,
    hook_spike_histogram_sum,
    hook_spike_image,
)

__all__ = [
    "HAS_TENSORBOARD",
    "hook_spike_activity_mean",
    "hook_spike_activity_sum",
    "hook_spike_histogram_mean",
    "hook_spike_histogram_sum",
    "hook_spike_image",
]
