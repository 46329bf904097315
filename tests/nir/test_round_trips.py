"""A model, written to a file and read again, is the same model: the same spikes, bit for bit."""

import nir
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import norse
import norse.torch as snn


def spikes(*shape, rate=0.4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(*shape, generator=generator) < rate).float()


def per_neuron(size, low, high, seed=1):
    return low + (high - low) * torch.rand(size, generator=torch.Generator().manual_seed(seed))


def assert_same(model, x, file, example=None):
    """Both give the same output over x [T, B, ...], with spikes and silence in it. Returns the one that was read."""
    norse.to_nir(model, file, example_input=example)
    nir.read(file)  # other tools read it with its types checked
    read = norse.from_nir(file)
    over_time = any(isinstance(m, snn.SNN | snn.SNNRecurrent | snn.Lift) for m in model.modules())
    with torch.no_grad():
        expected = model(x) if over_time else snn.Lift(model)(x)
        expected = expected[0] if isinstance(expected, tuple) else expected
        result, _ = snn.Lift(read)(x)
    assert torch.equal(result, expected)
    assert expected.any()
    assert expected.min() < expected.max()
    return read


# Rates whose inverse has another inverse in float32: a file with time constants alone would lose their last bit.
RATES = per_neuron(5, 60.0, 300.0)
LIF = snn.LIFParameters(
    tau_syn_inv=RATES.flip(0),
    tau_mem_inv=RATES,
    v_leak=per_neuron(5, -0.1, 0.1),
    v_th=per_neuron(5, 0.1, 0.3, 2),
    v_reset=per_neuron(5, -0.2, 0.0, 3),
)
LIF_BOX = snn.LIFBoxParameters(RATES, LIF.v_leak, LIF.v_th * 0.3, LIF.v_reset)
IAF = snn.IAFParameters(v_th=LIF.v_th * 5, v_reset=LIF.v_reset)

LAYERS = {
    "LIF": lambda: snn.LIF(LIF),
    "LIFBox": lambda: snn.LIFBox(LIF_BOX),
    "IAF": lambda: snn.IAF(IAF),
    "LI": lambda: snn.LI(snn.LIParameters(RATES.flip(0), RATES, LIF.v_leak)),
    "LIBox": lambda: snn.LIBox(snn.LIBoxParameters(RATES, LIF.v_leak)),
    "LIFRecurrent": lambda: snn.LIFRecurrent(5, 5, LIF),
    "LIFBoxRecurrent": lambda: snn.LIFBoxRecurrent(5, 5, LIF_BOX, autapses=True),
    "IAFRecurrent": lambda: snn.IAFRecurrent(5, 5, IAF),
}
CELLS = {
    "LIF": lambda: snn.LIFCell(LIF),
    "LIFBox": lambda: snn.LIFBoxCell(LIF_BOX),
    "IAF": lambda: snn.IAFCell(IAF),
    "LI": lambda: snn.LICell(snn.LIParameters(RATES.flip(0), RATES, LIF.v_leak)),
    "LIBox": lambda: snn.LIBoxCell(snn.LIBoxParameters(RATES, LIF.v_leak)),
    "LILinear": lambda: snn.LILinearCell(5, 5),
    "LIFRecurrent": lambda: snn.LIFRecurrentCell(5, 5, LIF),
    "LIFBoxRecurrent": lambda: snn.LIFBoxRecurrentCell(5, 5, LIF_BOX, autapses=True),
    "IAFRecurrent": lambda: snn.IAFRecurrentCell(5, 5, IAF),
}


class TestEveryNeuron:
    @pytest.fixture(autouse=True)
    def _seed(self):
        torch.manual_seed(4)

    @pytest.mark.parametrize("name", LAYERS)
    def test_as_a_layer_over_time(self, name, tmp_path):
        assert_same(snn.SequentialState(nn.Linear(4, 5), LAYERS[name]()), spikes(60, 3, 4), tmp_path / "a.nir")

    @pytest.mark.parametrize("name", CELLS)
    def test_as_a_cell(self, name, tmp_path):
        assert_same(snn.SequentialState(nn.Linear(4, 5), CELLS[name]()), spikes(60, 3, 4), tmp_path / "a.nir")

    @pytest.mark.parametrize("name", CELLS)
    def test_as_a_lifted_cell(self, name, tmp_path):
        model = snn.Lift(snn.SequentialState(nn.Linear(4, 5), CELLS[name]()))
        assert_same(model, spikes(60, 3, 4), tmp_path / "a.nir")

    @pytest.mark.parametrize("name", ["LIF", "LIFRecurrent"])
    def test_alone(self, name, tmp_path):
        assert_same(LAYERS[name](), spikes(60, 3, 5), tmp_path / "a.nir", example=torch.zeros(1, 1, 5))

    def test_in_float64(self, tmp_path):
        model = snn.SequentialState(nn.Linear(4, 5), snn.LIF(LIF), snn.LIFRecurrent(5, 5, LIF)).double()
        read = assert_same(model, spikes(60, 3, 4).double(), tmp_path / "a.nir")
        assert read[0].weight.dtype == torch.float64

    def test_in_a_module_of_its_own(self, tmp_path):
        class Own(nn.Module):
            def __init__(self):
                super().__init__()
                self.enter, self.neurons = nn.Linear(4, 5), snn.LIF(LIF)

            def forward(self, x):
                z, _ = self.neurons(nn.functional.linear(x, self.enter.weight, self.enter.bias) * 2.0)
                return z

        assert_same(Own(), spikes(60, 3, 4), tmp_path / "a.nir", example=torch.zeros(1, 1, 4))

    def test_with_a_step_of_the_library_in_a_generic_cell(self, tmp_path):
        step, start = snn.lif_box_feed_forward_step, snn.LIFBoxCell().initial_state
        assert_same(
            snn.SequentialState(
                nn.Linear(4, 5), snn.SNNCell(step, start, snn.LIFBoxParameters(v_th=torch.tensor(0.1)))
            ),
            spikes(60, 3, 4),
            tmp_path / "a.nir",
        )

    def test_compiled(self, tmp_path):
        model = snn.SequentialState(nn.Linear(4, 5), snn.LIF(LIF))
        norse.to_nir(norse.compile(model), tmp_path / "a.nir")
        assert type(norse.from_nir(tmp_path / "a.nir")[1]) is snn.LIFCell


class TestWhatIsRead:
    def test_is_the_same_modules_under_the_same_names(self):
        model = snn.SequentialState(
            nn.Linear(4, 5), snn.LIFCell(), snn.LIFRecurrentCell(5, 6), nn.Linear(6, 2), snn.LICell()
        )
        read = norse.from_nir(norse.to_nir(model))
        assert [type(module) for module in read] == [type(module) for module in model]
        assert read.state_dict().keys() == model.state_dict().keys()
        assert all(torch.equal(value, model.state_dict()[key]) for key, value in read.state_dict().items())
        assert read[1].p == snn.LIFCell().p
        assert read[1].dt == model[1].dt

    def test_has_no_layers_that_do_nothing_when_a_network_runs(self):
        model = snn.SequentialState(nn.Linear(4, 5), nn.Identity(), snn.LIFCell(), nn.Dropout()).eval()
        assert [type(module) for module in norse.from_nir(norse.to_nir(model))] == [nn.Linear, snn.LIFCell]

    def test_has_the_dt_of_the_model(self):
        model = snn.SequentialState(nn.Linear(4, 5), snn.LIFCell(dt=0.0005))
        assert norse.from_nir(norse.to_nir(model))[1].dt == 0.0005

    def test_at_another_dt_is_the_same_differential_equation(self):
        """What a file says, at a tenth of the time step: the potential is nearly the same at the same time."""
        model = snn.SequentialState(nn.Linear(4, 5), snn.LICell())
        graph = norse.to_nir(model)
        fine = norse.from_nir(graph, dt=0.0001)
        x = torch.ones(30, 1, 4)
        with torch.no_grad():
            coarse, _ = snn.Lift(model)(x)
            finer, _ = snn.Lift(fine)(x.repeat_interleave(10, 0))
        assert (finer[9::10] - coarse).abs().max() < 0.1 * coarse.abs().max()
        assert not torch.equal(finer[9::10], coarse)

    def test_trains(self):
        read = norse.from_nir(norse.to_nir(snn.SequentialState(nn.Linear(4, 5), snn.LIFRecurrentCell(5, 6))))
        z, _ = snn.Lift(read)(spikes(30, 3, 4) * 9)
        z.sum().backward()
        assert all(parameter.grad.any() for parameter in read.parameters())

    def test_compiles_with_no_eager_part(self):
        torch.manual_seed(0)
        model = snn.SequentialState(
            nn.Linear(4, 5), snn.LIFCell(), snn.LIFRecurrentCell(5, 6), nn.Linear(6, 2), snn.LICell()
        )
        read = snn.Lift(norse.from_nir(norse.to_nir(model)))
        compiled = norse.compile(read, fullgraph=True, exact=True)
        x = spikes(50, 3, 4) * 9
        assert torch.equal(compiled(x)[0], read(x)[0])

    def test_draws_no_random_numbers(self):
        graph = norse.to_nir(snn.SequentialState(nn.Linear(4, 5), snn.LIFRecurrentCell(5, 6)))
        before = torch.get_rng_state()
        norse.from_nir(graph)
        assert torch.equal(torch.get_rng_state(), before)


class TestConvolutions:
    def model(self):
        torch.manual_seed(0)
        return snn.SequentialState(
            nn.Conv2d(2, 4, 3, stride=2, padding=1, bias=False),
            snn.LIFBoxCell(snn.LIFBoxParameters(v_th=torch.tensor(0.02))),
            nn.AvgPool2d(2),
            nn.Conv2d(4, 3, 3, padding="same"),
            snn.IAFCell(),
            nn.AvgPool2d(2, divisor_override=1),
            nn.Flatten(),
            nn.Linear(12, 5),
            snn.LIFCell(LIF),
        )

    def test_run_the_same(self, tmp_path):
        assert_same(self.model(), spikes(60, 3, 2, 16, 16), tmp_path / "a.nir", example=torch.zeros(1, 2, 16, 16))

    def test_run_the_same_lifted(self, tmp_path):
        model = snn.Lift(self.model())
        assert_same(model, spikes(60, 3, 2, 16, 16), tmp_path / "a.nir", example=torch.zeros(2, 1, 2, 16, 16))

    def test_have_shapes_without_batch_and_a_bias(self):
        graph = norse.to_nir(self.model(), example_input=torch.zeros(7, 2, 16, 16))
        nodes = graph.nodes
        assert list(graph.nodes["input"].input_type["input"]) == [2, 16, 16]
        assert list(graph.nodes["output"].output_type["output"]) == [5]
        assert tuple(nodes["0"].input_shape) == (16, 16)
        assert nodes["0"].bias.shape == (4,)
        assert not nodes["0"].bias.any()
        assert nodes["1"].tau.shape == (4, 8, 8)
        assert type(nodes["5"]) is nir.SumPool2d
        assert list(nodes["6"].input_type["input"]) == [3, 2, 2]
        assert (nodes["6"].start_dim, nodes["6"].end_dim) == (-3, -1)

    def test_of_one_dimension(self, tmp_path):
        model = snn.SequentialState(
            nn.Conv1d(2, 4, 3, padding=1), snn.IAFCell(), nn.Flatten(), nn.Linear(32, 5), snn.LICell()
        )
        assert_same(model, spikes(60, 3, 2, 8), tmp_path / "a.nir", example=torch.zeros(1, 2, 8))

    def test_flatten_over_time_counts_neither_time_nor_batch(self, tmp_path):
        model = snn.SequentialState(nn.Flatten(2), nn.Linear(8, 5), snn.LIF(LIF))
        assert_same(model, spikes(60, 3, 2, 4), tmp_path / "a.nir", example=torch.zeros(1, 1, 2, 4))

    def test_that_nir_miscounts_are_written_with_a_warning(self, tmp_path):
        model = snn.SequentialState(nn.Conv2d(2, 4, (3, 1), groups=2), snn.IAFCell())
        with pytest.warns(UserWarning, match="type_check=False"):
            norse.to_nir(model, tmp_path / "a.nir", example_input=torch.zeros(1, 2, 5, 5))
        x = spikes(10, 1, 2, 5, 5) * 5
        assert torch.equal(snn.Lift(norse.from_nir(tmp_path / "a.nir"))(x)[0], snn.Lift(model)(x)[0])

    def test_sum_pooling_by_power_average_is_a_sum(self):
        model = snn.SequentialState(nn.LPPool2d(1, 2), snn.IAFCell())
        assert type(norse.to_nir(model, example_input=torch.zeros(1, 1, 4, 4)).nodes["0"]) is nir.SumPool2d


class Branches(nn.Module):
    """A tick with a skip connection, and spikes of the second population that come back to the first a tick later."""

    def __init__(self):
        super().__init__()
        self.enter, self.back, self.on = nn.Linear(4, 5), nn.Linear(5, 5, bias=False), nn.Linear(5, 5)
        self.first, self.second = snn.LIFCell(LIF), snn.LIFBoxCell(LIF_BOX)

    def forward(self, x, state=None):
        first, second, last = (None, None, None) if state is None else state
        current = self.enter(x)
        total = current if last is None else current + self.back(last)
        z, first = self.first(total, first)
        out, second = self.second(self.on(z) + current, second)
        return out, (first, second, out)


class TestGraphs:
    def test_with_a_skip_connection_and_a_cycle_of_two_populations(self, tmp_path):
        torch.manual_seed(2)
        read = assert_same(Branches(), spikes(80, 3, 4), tmp_path / "a.nir", example=torch.zeros(1, 4))
        assert_same(read, spikes(80, 3, 4), tmp_path / "b.nir", example=torch.zeros(1, 4))

    def test_of_recurrent_sequential(self, tmp_path):
        torch.manual_seed(2)
        model = snn.RecurrentSequential(nn.Linear(4, 4), snn.LIFCell(snn.LIFParameters(v_th=torch.tensor(0.1))))
        assert_same(model, spikes(80, 3, 4), tmp_path / "a.nir")

    def test_with_several_outputs(self):
        model = snn.SequentialState(nn.Linear(4, 5), snn.LIF(LIF), nn.Linear(5, 2), snn.LI(), return_hidden=True)
        read = norse.from_nir(norse.to_nir(model))
        x = spikes(5, 3, 4)
        expected, _ = model(x)
        state = None
        for tick in range(5):
            outputs, state = read(x[tick], state)
            assert all(torch.equal(outputs[f"output_{k}"], expected[k][tick]) for k in range(4))

    def test_a_value_added_to_itself_is_twice_the_value(self):
        class Twice(nn.Module):
            def __init__(self):
                super().__init__()
                self.cell = snn.IAFCell()

            def forward(self, x, state=None):
                return self.cell(x + x, state)

        read = norse.from_nir(norse.to_nir(Twice(), example_input=torch.zeros(1, 2)))
        z, _ = read(torch.tensor([[0.4, 0.6]]))
        assert z.tolist() == [[0.0, 1.0]]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(sorted(CELLS)), st.integers(1, 6)), min_size=1, max_size=4),
    st.integers(0, 2**31),
    st.booleans(),
)
def test_any_chain_comes_back_the_same(parts, seed, bias):
    torch.manual_seed(seed)
    modules, size = [], 4
    for name, width in parts:
        rates = 20 + 400 * torch.rand(2, width)
        if name.endswith("Recurrent"):
            cell = getattr(snn, f"{name}Cell")(size, width, dt=0.001)
        elif name == "LILinear":
            cell = snn.LILinearCell(size, width)
        else:
            modules.append(nn.Linear(size, width, bias=bias))
            cell = getattr(snn, f"{name}Cell")()
        names = {"tau_mem_inv": rates[0], "tau_syn_inv": rates[1], "v_th": torch.rand(width) * 0.3}
        cell.p = cell.p._replace(**{key: value for key, value in names.items() if key in cell.p._fields})
        modules.append(cell)
        size = width
    model = snn.SequentialState(*modules)
    read = norse.from_nir(norse.to_nir(model))
    x = spikes(20, 2, 4, seed=seed)
    with torch.no_grad():
        assert torch.equal(snn.Lift(read)(x)[0], snn.Lift(model)(x)[0])
