"""Steps with exact, surrogate-free gradients (EventProp): the adjoints of spiking neurons, derived by hand."""
