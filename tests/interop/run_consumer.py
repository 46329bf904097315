"""Run by the Python of another library's environment: its readings of files, and files of its own.

    python -I run_consumer.py LIBRARY FOLDER DT

It runs every x.nir in the folder on x.npy, [T, ...], and writes x.out.npy, or what went wrong into x.error. With
`own` in place of DT it writes networks of the library's own as x.nir, x.npy and x.out.npy.
"""

import contextlib
import copy
import io
import logging
import signal
import sys
import warnings
from pathlib import Path

import nir
import numpy as np

warnings.simplefilter("ignore")
logging.disable(logging.WARNING)
SECONDS = 60  # for one file: there are readers that follow a cycle for ever


def run_snntorch(graph, x, dt):
    import torch
    from snntorch.import_nir import import_from_nir

    return _ticks(import_from_nir(graph), x, torch)


def run_sinabs(graph, x, dt):
    import torch
    from sinabs.nir import from_nir

    with torch.no_grad():
        result = from_nir(graph, batch_size=1)(torch.from_numpy(x))
    return (result[0] if isinstance(result, tuple) else result).numpy()


def run_rockpool(graph, x, dt):
    import torch
    from rockpool.nn.modules.torch.nir import from_nir

    result = from_nir(graph)(torch.from_numpy(x)[None])
    return (result[0] if isinstance(result, tuple) else result).detach().numpy()[0]


def run_norse(graph, x, dt):
    import torch

    import norse.torch

    return _ticks(norse.torch.from_nir(graph, dt=dt), x, torch)


def run_spyx(graph, x, dt):
    import spyx.nir

    return np.asarray(spyx.nir.from_nir(graph, x[:, None], dt=dt)[1])[:, 0]


def run_nirtorch(graph, x, dt):
    """nirtorch runs no neurons itself: it is given forward Euler of NIR's, and builds the network of them."""
    import nirtorch
    import torch

    class Neuron(torch.nn.Module):
        def __init__(self, node):
            super().__init__()
            self.node = {k: torch.from_numpy(np.asarray(v)) for k, v in vars(node).items() if isinstance(v, np.ndarray)}

        def forward(self, x, state=None):
            n = self.node
            v, i = state if state is not None else (torch.zeros_like(x), torch.zeros_like(x))
            if "tau_syn" in n:
                i = i + dt / n["tau_syn"] * (n["w_in"] * x - i)
                x = i
            if "r" in n and "v_leak" in n:
                v = v + dt / n["tau_mem" if "tau_mem" in n else "tau"] * (n["v_leak"] - v + n["r"] * x)
            else:
                v = v + n["r"] * x
            if "v_threshold" not in n:
                return v, (v, i)
            z = (v > n["v_threshold"]).to(v)
            return z, ((1 - z) * v + z * n["v_reset"], i)

    def affine(node):  # in its own table the bias stays as torch draws it
        layer = torch.nn.Linear(*node.weight.shape[::-1])
        layer.weight.data, layer.bias.data = torch.from_numpy(node.weight), torch.from_numpy(node.bias)
        return layer

    neurons = {kind: Neuron for kind in (nir.I, nir.IF, nir.LI, nir.LIF, nir.CubaLI, nir.CubaLIF)}
    return _ticks(nirtorch.nir_to_torch(graph, neurons | {nir.Affine: affine}), x, torch)


def _ticks(net, x, torch):
    """A module of one tick, [1, ...], which takes and gives its state."""
    state, outputs = None, []
    with torch.no_grad():
        for tick in torch.from_numpy(x):
            result = net(tick[None]) if state is None else net(tick[None], state)
            z, state = result if isinstance(result, tuple) else (result, None)
            outputs.append((z[0] if isinstance(z, tuple) else z).numpy())  # spikes and potentials: snnTorch's IF
    z = np.stack(outputs)
    return z[:, 0] if z.shape[1] == 1 else z  # a reader that flattens the batch has none


# ---- networks of the library's own -----------------------------------------------------------------------------------


def own_snntorch(x):
    import snntorch
    import torch
    from snntorch.export_nir import export_to_nir

    def exported(**neuron):
        layer = snntorch.Leaky if "alpha" not in neuron else snntorch.Synaptic
        made = {name: torch.full((4,), value) for name, value in neuron.items()}
        options = {"init_hidden": True, "reset_mechanism": "zero", "reset_delay": False}
        net = torch.nn.Sequential(torch.nn.Linear(3, 4), layer(**made, **options))
        graph = export_to_nir(copy.deepcopy(net), torch.zeros(1, 3), ignore_dims=[0])  # it runs what it is given
        with torch.no_grad():
            return graph, np.stack([net(tick[None])[0].numpy() for tick in torch.from_numpy(x)])

    yield "Leaky", lambda: exported(beta=0.9, threshold=0.5)
    yield "Synaptic", lambda: exported(alpha=0.8, beta=0.9, threshold=0.5)


def own_sinabs(x):
    import sinabs.layers as sl
    import torch
    from sinabs.nir import to_nir

    def exported(*layers, shape=(3,)):
        net = torch.nn.Sequential(*layers)
        graph = to_nir(net, torch.zeros(1, *shape))
        for layer in net:
            getattr(layer, "reset_states", lambda: None)()
        inputs = torch.from_numpy(x if shape == (3,) else np.repeat(x, 12, 1).reshape(-1, *shape))
        with torch.no_grad():
            return graph, net(inputs).numpy(), inputs.numpy()

    one = {"batch_size": 1}
    yield "IAFSqueeze", lambda: exported(torch.nn.Linear(3, 4), sl.IAFSqueeze(**one))
    options = {"tau_mem": torch.full((4,), 10.0), "norm_input": False, **one}  # nir.write refuses 0-d parameters
    yield "LIFSqueeze", lambda: exported(torch.nn.Linear(3, 4), sl.LIFSqueeze(spike_threshold=torch.ones(4), **options))
    yield "ExpLeakSqueeze", lambda: exported(torch.nn.Linear(3, 4), sl.ExpLeakSqueeze(**options))
    yield "convolution", lambda: exported(
        torch.nn.Conv2d(1, 2, 3), sl.IAFSqueeze(**one), sl.SumPool2d(2), torch.nn.Flatten(), torch.nn.Linear(8, 3),
        sl.IAFSqueeze(**one), shape=(1, 6, 6),
    )  # fmt: skip


def own_rockpool(x):
    import torch
    from rockpool.nn.combinators import Sequential
    from rockpool.nn.modules import LIFNeuronTorch, LIFTorch, LinearTorch
    from rockpool.nn.modules.torch.nir import to_nir

    def exported(kind, **options):
        net = Sequential(LinearTorch((3, 4)), kind(4, dt=1e-3, **options))
        graph = to_nir(net)
        net.reset_state()
        return graph, net(torch.from_numpy(x)[None])[0].detach().numpy()[0]

    yield "LIFTorch", lambda: exported(LIFTorch, tau_mem=0.02, tau_syn=0.01, threshold=1.0)
    yield "LIFNeuronTorch", lambda: exported(LIFNeuronTorch, tau_mem=0.02, threshold=1.0)


def own_norse(x):
    import torch

    import norse.torch as snn

    def exported(cell):
        torch.manual_seed(3)
        net = snn.SequentialState(torch.nn.Linear(3, 4), cell)
        output = _ticks(net, x, torch)
        return snn.to_nir(net, torch.zeros(1, 3), dt=1.0), output  # it multiplies time constants by dt

    def each(parameters, **given):  # nir.write refuses 0-d parameters
        made = parameters(**given)
        return made._replace(
            **{k: v.expand(4).clone() for k, v in made._asdict().items() if k.startswith(("v_", "tau"))}
        )

    yield "LIFBoxCell", lambda: exported(snn.LIFBoxCell(each(snn.LIFBoxParameters, v_th=torch.tensor(0.1))))
    yield "IAFCell", lambda: exported(snn.IAFCell(each(snn.IAFParameters)))
    yield "LIFCell", lambda: exported(snn.LIFCell(each(snn.LIFParameters, v_th=torch.tensor(0.1))))


def own_spyx(x):
    import spyx.nir
    import spyx.nn
    from flax import nnx

    def exported(layer):
        linear = nnx.Linear(3, 4, use_bias=False, rngs=nnx.Rngs(0))
        net = spyx.nn.Sequential(linear, layer)
        graph = spyx.nir.to_nir(net, {"input": np.array([3])}, {"output": np.array([4])}, dt=1e-3)
        return graph, np.asarray(spyx.nn.run(net, x[:, None])[0])[:, 0]

    rngs = nnx.Rngs(0)
    yield "IF", lambda: exported(spyx.nn.IF((4,)))
    yield "CuBaLIF", lambda: exported(spyx.nn.CuBaLIF((4,), alpha=0.8, beta=0.9, threshold=2, rngs=rngs))
    yield "LIF", lambda: exported(spyx.nn.LIF((4,), beta=0.9, rngs=rngs))


# ---- the command -----------------------------------------------------------------------------------------------------


def write_own(library, folder):
    x = ((np.random.default_rng(0).random((200, 3)) < 0.3) * 1.0).astype(np.float32)
    if library in ("snntorch", "sinabs", "rockpool", "norse"):
        import torch

        torch.manual_seed(3)
    for name, make in globals()[f"own_{library}"](x):
        with _told(folder, name):
            graph, output, *inputs = make()
            np.save(folder / f"{name}.npy", inputs[0] if inputs else x)
            nir.write(folder / f"{name}.nir", graph)
            np.save(folder / f"{name}.out.npy", output)


def read_all(library, folder, dt):
    for file in sorted(folder.glob("*.nir")):
        with _told(folder, file.stem):
            x = np.load(file.with_suffix(".npy"))
            np.save(folder / f"{file.stem}.out.npy", globals()[f"run_{library}"](nir.read(file), x, dt))


@contextlib.contextmanager
def _told(folder, name):
    def stop(*_):
        raise TimeoutError(f"no end within {SECONDS} s")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except BaseException as error:  # whatever a library raises is what the table says
        (folder / f"{name}.error").write_text(f"{type(error).__name__}: {error}")
    finally:
        signal.alarm(0)


if __name__ == "__main__":
    library, folder, what = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    if what == "own":
        write_own(library, folder)
    else:
        read_all(library, folder, float(what))
