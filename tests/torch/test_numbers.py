"""Numbers and transforms: dtypes, torch.func, torch.compile, torch.export, copies, threads, training."""

import copy
import pickle
import threading
import warnings
from typing import Any

import pytest
import torch
from torch.func import functional_call, grad, jacrev, vmap
from torch.utils import _pytree as pytree

from .neurons import CELLS, FORMS, RECURRENT, Form, all_learnt, assert_same, tensors

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
ONE_PER_MODEL = list({form.model.file + "linear" * ("Linear" in form.name): form for form in CELLS}.values())
SOME_CELLS = [form for form in CELLS if form.name in ("LIFCell", "LIFAdExRefracCell", "LSNNRecurrentCell")]
SOME_RECURRENT = [form for form in RECURRENT if form.name in ("LIFRecurrent", "LIFMCRecurrentCell")]


def at(tree: Any, k: int) -> Any:
    """The k-th of a stack."""
    return pytree.tree_map(lambda leaf: leaf[k], tree)


def stacked(trees: Any) -> Any:
    return pytree.tree_map(lambda *leaves: torch.stack(leaves), *trees)


# ---- dtypes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_outputs_and_states_have_the_inputs_dtype(form, dtype):
    module, x = form.make(dtype=dtype), form.input(3, 2, dtype=dtype)
    outputs, state = module(x)
    assert outputs.dtype == dtype
    assert {leaf.dtype for leaf in tensors(state)} == {dtype}
    assert {leaf.dtype for leaf in tensors(module(x, state))} == {dtype}
    assert all(leaf.isfinite().all() for leaf in tensors((outputs, state)))


@pytest.mark.parametrize("form", [form for form in FORMS if not form.sizes], ids=str)
def test_a_module_without_weights_follows_its_inputs_dtype_unconverted(form):
    module = form.make()
    for dtype in (torch.float64, torch.bfloat16):
        outputs, state = module(form.input(3, 2, dtype=dtype))
        assert {leaf.dtype for leaf in tensors((outputs, state))} == {dtype}


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_double_precision_is_double_throughout(form):
    """The last digits of a float64 input are not lost in a float32 somewhere."""
    module = form.make(dtype=torch.float64)
    x = torch.zeros(1, 2, form.features, dtype=torch.float64)
    base, tiny = module(x)[1], module(x + 1e-12)[1]
    changes = [(b - a).abs().max().item() for a, b in zip(tensors(base), tensors(tiny), strict=True)]
    assert 0 < max(changes) < 1e-9


@pytest.mark.parametrize("form", FORMS if torch.cuda.is_available() else (), ids=str)
def test_on_cuda_a_module_does_what_it_does_on_the_cpu(form):
    module, x = form.make(dtype=torch.float64), form.input(5, 2, dtype=torch.float64)
    outputs, state = module(x)
    there, there_state = copy.deepcopy(module).to("cuda")(x.cuda())
    assert {leaf.device.type for leaf in tensors((there, there_state))} == {"cuda"}
    assert_same((there.cpu(), there_state.cpu()), (outputs, state), exact=False)
    assert {leaf.device.type for leaf in tensors(module.to("cuda").p)} <= {"cuda"}
    for dtype in (torch.float16, torch.bfloat16):
        assert {leaf.dtype for leaf in tensors(module.to(dtype)(x.to("cuda", dtype)))} == {dtype}


# ---- torch.func ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", CELLS, ids=str)
def test_vmap_over_inputs_and_states_equals_a_loop(form):
    cell = form.make(dtype=torch.float64)
    xs = form.input(3, 2, dtype=torch.float64)
    states = stacked([form.state(cell, seed=k, dtype=torch.float64) for k in range(3)])
    together = vmap(cell)(xs, states)
    one_by_one = stacked([cell(xs[k], at(states, k)) for k in range(3)])
    assert_same(together, one_by_one, exact=False)
    fresh = vmap(lambda x: cell(x))(xs)
    assert_same(fresh, stacked([cell(x) for x in xs]), exact=False)


def learnt_cell(form: Form) -> tuple[Any, dict[str, torch.Tensor]]:
    cell = form.make(all_learnt(form.model.parameters()), torch.float64)
    return cell, {name: value.detach() for name, value in cell.named_parameters()}


def several(parameters: dict[str, torch.Tensor], count: int) -> dict[str, torch.Tensor]:
    """Parameters of that many cells, a little different from each other."""
    generator = torch.Generator().manual_seed(3)
    return {
        name: value * (1 + 0.1 * torch.rand(count, *value.shape, generator=generator, dtype=value.dtype))
        for name, value in parameters.items()
    }


@pytest.mark.parametrize("form", CELLS, ids=str)
def test_vmap_over_parameters_equals_a_loop(form):
    cell, parameters = learnt_cell(form)
    x, state, many = form.input(2, dtype=torch.float64), form.state(cell, dtype=torch.float64), several(parameters, 3)
    together = vmap(lambda p: functional_call(cell, p, (x, state)))(many)
    one_by_one = stacked([functional_call(cell, at(many, k), (x, state)) for k in range(3)])
    assert_same(together, one_by_one, exact=False)


def loss_of(cell: Any, x: torch.Tensor, state: Any, parameters: dict[str, torch.Tensor]) -> torch.Tensor:
    """Of three ticks: outputs and states, so that every path counts."""
    total = torch.zeros((), dtype=x.dtype)
    for factor in (1.0, 0.5, 1.5):
        output, state = functional_call(cell, parameters, (factor * x, state))
        total = total + output.sum() + sum(leaf.square().sum() for leaf in tensors(state))
    return total


@pytest.mark.parametrize("form", CELLS, ids=str)
def test_functional_gradients_are_those_of_autograd(form):
    cell, parameters = learnt_cell(form)
    x, state = form.input(2, dtype=torch.float64), form.state(cell, dtype=torch.float64)
    by_x, by_parameters = grad(lambda x, p: loss_of(cell, x, state, p), argnums=(0, 1))(x, parameters)
    leaves = [x.requires_grad_(), *(value.requires_grad_() for value in parameters.values())]
    expected = torch.autograd.grad(
        loss_of(cell, x, state, parameters), leaves, allow_unused=True, materialize_grads=True
    )
    assert by_x.abs().sum() > 0
    for ours, theirs in zip((by_x, *by_parameters.values()), expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("form", CELLS, ids=str)
def test_gradients_of_a_sample_each_equal_a_loop(form):
    """vmap of grad: the per-sample gradients of differential privacy and Fisher matrices."""
    cell, parameters = learnt_cell(form)
    xs = form.input(3, 1, dtype=torch.float64)
    state = form.state(cell, batch=1, dtype=torch.float64)
    gradient = grad(lambda p, x: loss_of(cell, x, state, p))
    together = vmap(gradient, in_dims=(None, 0))(parameters, xs)
    assert_same(together, stacked([gradient(parameters, x) for x in xs]), exact=False)


@pytest.mark.parametrize("form", CELLS, ids=str)
def test_the_functional_jacobian_is_that_of_autograd(form):
    cell = form.make(dtype=torch.float64).requires_grad_(False)
    x, state = form.input(1, dtype=torch.float64), form.state(cell, batch=1, dtype=torch.float64)

    def result(x):
        return tuple(tensors(cell(x, state)))

    ours, theirs = jacrev(result)(x), torch.autograd.functional.jacobian(result, x)
    assert any(block.abs().sum() > 0 for block in ours)
    assert_same(ours, theirs, exact=False)


# ---- torch.compile and torch.export ----------------------------------------------------------------------------------


@pytest.fixture
def fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("form", ONE_PER_MODEL, ids=str)
def test_torch_compile_of_a_cell_is_the_cell(form):
    cell = form.make()
    compiled = torch.compile(cell, backend="eager", fullgraph=True)
    x, state = form.input(2), form.state(cell)
    assert_same(compiled(x, state), cell(x, state))
    assert_same(compiled(x), cell(x))


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("form", [form for form in FORMS if form.name in ("LIFRefrac", "LIFRecurrent")], ids=str)
def test_torch_compile_of_a_layer_is_the_layer(form):
    layer, x = form.make(), form.input(4, 2)
    assert_same(torch.compile(layer, backend="eager", fullgraph=True)(x), layer(x))


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("form", SOME_CELLS, ids=str)
def test_torch_compile_has_the_cells_gradients(form):
    cell = form.make(all_learnt(form.model.parameters()))
    compiled = torch.compile(cell, backend="aot_eager", fullgraph=True)
    x = form.input(2)
    gradients = []
    for module in (cell, compiled):
        output, state = module(x)
        loss = output.sum() + sum(leaf.square().sum() for leaf in tensors(state))
        gradients.append(torch.autograd.grad(loss, list(cell.parameters()), allow_unused=True, materialize_grads=True))
    assert_same(*gradients, exact=False)


@pytest.mark.parametrize("form", ONE_PER_MODEL, ids=str)
def test_an_exported_cell_is_the_cell(form):
    cell = form.make().eval()
    x, state = form.input(2), form.state(cell)
    with_state = torch.export.export(cell, (x, state)).module()
    assert_same(with_state(x, state), cell(x, state))
    without = torch.export.export(cell, (x,)).module()
    assert_same(without(x), cell(x))


# ---- copies ----------------------------------------------------------------------------------------------------------


def through_pickle(module: Any) -> Any:
    return pickle.loads(pickle.dumps(module))


COPIES = pytest.mark.parametrize("copied", [copy.deepcopy, through_pickle], ids=["deepcopy", "pickle"])


@COPIES
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_copy_does_the_same_and_shares_nothing(form, copied):
    module = form.make(all_learnt(form.model.parameters()))
    other, x = copied(module), form.input(10, 2)
    assert type(other) is type(module)
    assert repr(other) == repr(module)
    expected = module(x)
    assert_same(other(x), expected)
    with torch.no_grad():
        for value in (*other.parameters(), *other.buffers()):
            value.add_(1.0)
    assert_same(module(x), expected)


@COPIES
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_state_survives_being_copied(form, copied):
    module = form.make()
    state = form.state(module)
    again = copied(state)
    assert type(again) is type(state)
    assert_same(again, state)


def train(form: Form, module: Any) -> None:
    optimizer = torch.optim.Adam([p for p in module.parameters() if p.requires_grad], lr=0.1)
    x = form.input(30, 2)
    state, total = None, torch.zeros(())
    for piece in [x] if form.over_time else x:
        outputs, state = module(piece, state)
        total = total + outputs.sum() + sum(leaf.sum() for leaf in tensors(state))
    before = module.recurrent_weights.detach().clone()
    total.backward()
    optimizer.step()
    assert not torch.equal(before, module.recurrent_weights)


def loaded_by_assignment(module: Any) -> Any:
    other = copy.deepcopy(module)
    other.load_state_dict(module.state_dict(), assign=True)
    return other


def with_other_weights(module: Any) -> Any:
    module.recurrent_weights = torch.nn.Parameter(module.recurrent_weights.detach().clone())
    return module


def frozen_and_thawed(module: Any) -> Any:
    return copy.deepcopy(module.requires_grad_(False)).requires_grad_(True)


def converted(module: Any) -> Any:
    return module.double().float()


@COPIES
@pytest.mark.parametrize("form", RECURRENT, ids=str)
def test_a_neuron_never_learns_to_excite_itself_and_nor_does_its_copy(form, copied):
    module = copied(form.make(autapses=False))
    train(form, module)
    assert module.recurrent_weights.diagonal().abs().sum() == 0


@pytest.mark.parametrize(
    "made",
    [
        copy.copy,
        loaded_by_assignment,
        with_other_weights,
        frozen_and_thawed,
        converted,
    ],
    ids=lambda made: made.__name__,
)
@pytest.mark.parametrize("form", SOME_RECURRENT, ids=str)
def test_nor_after_its_weights_were_replaced_loaded_frozen_or_converted(form, made):
    module = made(form.make(autapses=False))
    train(form, module)
    assert module.recurrent_weights.diagonal().abs().sum() == 0


@pytest.mark.parametrize("form", RECURRENT, ids=str)
def test_a_copy_of_neurons_with_autapses_keeps_them(form):
    module = copy.deepcopy(form.make(autapses=True))
    assert (module.recurrent_weights.diagonal() != 0).all()
    train(form, module)
    assert module.autapses


# ---- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_converting_a_module_converts_its_parameters(form):
    module = form.make()
    held = len(tensors(module.p))
    converted, elsewhere = tensors(module.to(torch.float64).p), tensors(form.make().to("meta").p)
    assert len(converted) == len(elsewhere) == held
    assert {leaf.dtype for leaf in converted} <= {torch.float64}
    assert {leaf.device.type for leaf in elsewhere} <= {"meta"}


def learnt(p: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tensors(p) if isinstance(leaf, torch.nn.Parameter)]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_learnt_parameter_is_registered_trained_and_saved(form):
    p = all_learnt(form.model.parameters())
    module = form.make(p)
    mine = learnt(p)
    assert mine
    assert {id(value) for value in mine} <= {id(value) for value in module.parameters()}
    saved = {value.data_ptr() for value in module.state_dict().values()}
    assert {value.data_ptr() for value in mine} <= saved
    before = [value.detach().clone() for value in mine]
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-3)
    x = form.input(8, 2)
    state, total = None, torch.zeros(())
    for _ in range(3):
        outputs, state = module(x, state)
        total = total + outputs.sum() + sum(leaf.square().sum() for leaf in tensors(state))
    total.backward()
    optimizer.step()
    assert not all(map(torch.equal, before, mine))
    assert list(map(id, learnt(module.p))) == list(map(id, mine))  # the step sees what the optimizer changed


# ---- nothing is shared -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_two_modules_share_nothing(form):
    """So that a change in place (an initialiser, a projection, a moving average) changes one of them."""
    one, other = form.make(), form.make()
    x = form.input(2, 2)

    def held(module: Any) -> list[torch.Tensor]:
        return [*module.parameters(), *module.buffers(), *tensors(module.initial_state(x))]

    ours, theirs = held(one), held(other)  # both alive, so that no memory is used twice
    assert not {t.data_ptr() for t in ours if t.numel()} & {t.data_ptr() for t in theirs if t.numel()}


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_threads_may_run_one_module_at_once(form):
    module = form.make()
    xs = [form.input(10, 2, seed=seed) for seed in range(4)]
    expected = [module(x) for x in xs]
    results: list[Any] = [None] * len(xs)

    def work(k: int) -> None:
        results[k] = module(xs[k])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(xs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result, one in zip(results, expected, strict=True):
        assert_same(result, one)


def replica_of(module: torch.nn.Module) -> Any:
    """What torch.nn.DataParallel makes for another device: a shallow copy whose weights are results, not leaves."""
    replica = module._replicate_for_data_parallel()
    for name, child in module._modules.items():
        replica._modules[name] = replica_of(child)
    for name, value in module._parameters.items():
        setattr(replica, name, value.clone())
    return replica


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_replica_computes_the_same_and_its_gradients_reach_the_module(form):
    module = form.make(all_learnt(form.model.parameters()))
    x, state = form.input(4, 2), form.state(module)
    x = x if form.over_time else x[0]
    outputs, last = replica_of(module)(x, state)
    assert_same((outputs, last), module(x, state))
    (outputs.sum() + sum(leaf.sum() for leaf in tensors(last))).backward()
    assert any(value.grad is not None and value.grad.abs().sum() > 0 for value in module.parameters())


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_calls_leave_no_warning(form):
    module = form.make()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module(form.input(3, 2), form.state(module) if form.over_time else None)
