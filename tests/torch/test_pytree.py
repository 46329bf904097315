"""States as pytrees: named tuples that move, convert and broadcast as a whole."""

import copy
import pickle
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from norse.torch.functional.lif import LIFFeedForwardState, LIFParameters, LIFState
from norse.torch.functional.lif_refrac import LIFRefracFeedForwardState, LIFRefracState
from norse.torch.utils.pytree import (
    MultipleInheritanceNamedTupleMeta,
    StateTuple,
    broadcast_input,
    map_only,
    register_tuple,
    tree_map_only,
)

from .neurons import FORMS, assert_same, tensors


class Trace(StateTuple):
    """A user's state."""

    v: Tensor
    name: str
    inner: Any = None
    rho: Tensor = torch.tensor(5.0)

    def doubled(self) -> Tensor:
        return 2 * self.v


class Published(StateTuple, metaclass=MultipleInheritanceNamedTupleMeta):
    """Declared in Norse's spelling."""

    v: Tensor
    i: Tensor


class Plain(NamedTuple):
    a: Tensor
    b: int


def lif(value: float = 1.5) -> LIFState:
    return LIFState(z=torch.tensor([1.0, 0.0]), v=torch.tensor(value), i=torch.tensor([0.5, -0.5]))


def nested() -> LIFRefracState:
    return LIFRefracState(lif=lif(), rho=torch.tensor([3.0, 0.0]))


class TestATuple:
    def test_equals_the_plain_tuple_of_its_fields(self):
        state = Published(1, 2)
        assert state == (1, 2)
        assert tuple(state) == (1, 2)
        assert hash(state) == hash((1, 2))
        assert isinstance(state, tuple)
        assert len(state) == 2
        assert state[0] == state.v == 1
        v, i = state
        assert (v, i) == (1, 2)

    def test_has_what_a_named_tuple_has(self):
        assert Published._fields == ("v", "i")
        assert Published(1, 2)._asdict() == {"v": 1, "i": 2}
        assert Published._make([1, 2]) == Published(1, 2)
        assert Published(1, 2)._replace(i=3) == (1, 3)
        assert type(Published(1, 2)._replace(i=3)) is Published
        assert repr(Published(1, i=2)) == "Published(v=1, i=2)"

    def test_has_defaults(self):
        state = Trace(torch.zeros(2), "a")
        assert state.inner is None
        assert state.rho == 5.0
        assert list(Trace._field_defaults) == ["inner", "rho"]
        assert Published._field_defaults == {}
        with pytest.raises(TypeError, match="'i'"):
            Published(1)

    def test_refuses_unknown_and_missing_fields(self):
        with pytest.raises(TypeError):
            Published(1, 2, 3)
        with pytest.raises(TypeError):
            Published(1, w=3)
        with pytest.raises(ValueError, match="w"):
            Published(1, 2)._replace(w=3)

    def test_cannot_be_changed_in_place(self):
        with pytest.raises(AttributeError):
            Published(1, 2).v = 3
        with pytest.raises(AttributeError):
            Published(1, 2).other = 3

    def test_keeps_a_users_methods(self):
        assert Trace(torch.ones(2), "a").doubled().tolist() == [2, 2]
        assert Trace.__doc__ == "A user's state."

    def test_may_be_subclassed_for_methods(self):
        class Named(Published):
            """With another method."""

            def sum(self) -> Tensor:
                return self.v + self.i

        state = Named(torch.ones(1), torch.ones(1))
        assert state.sum().tolist() == [2]
        assert isinstance(state, Published)
        assert type(state.double()) is Named

    @pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
    @pytest.mark.parametrize("state", [lif(), nested(), Trace(torch.ones(2), "a", lif()), Published(1, 2)])
    def test_survives_copying(self, state, copied):
        again = copied(state)
        assert type(again) is type(state)
        assert_same(again, state)

    def test_saves_with_torch(self, tmp_path):
        torch.save(nested(), tmp_path / "state.pt")
        again = torch.load(tmp_path / "state.pt", weights_only=False)
        assert type(again) is LIFRefracState
        assert type(again.lif) is LIFState
        assert_same(again, nested())


class TestMovedAndConverted:
    @pytest.mark.parametrize(
        ("convert", "dtype"),
        [
            (lambda s: s.double(), torch.float64),
            (lambda s: s.double().float(), torch.float32),
            (lambda s: s.int(), torch.int32),
            (lambda s: s.to(torch.bfloat16), torch.bfloat16),
            (lambda s: s.to(dtype=torch.float16), torch.float16),
            (lambda s: s.to("cpu", torch.float64), torch.float64),
            (lambda s: s.to(torch.zeros(1, dtype=torch.float64)), torch.float64),
        ],
    )
    @pytest.mark.parametrize("state", [lif(), nested()])
    def test_every_tensor_is_converted_nested_ones_too(self, state, convert, dtype):
        converted = convert(state)
        assert type(converted) is type(state)
        assert {leaf.dtype for leaf in tensors(converted)} == {dtype}
        assert len(tensors(converted)) == len(tensors(state))
        assert {leaf.dtype for leaf in tensors(state)} == {torch.float32}
        expected = [leaf.to(dtype) for leaf in tensors(state)]
        assert all(map(torch.equal, tensors(converted), expected))

    def test_an_integer_is_rounded_towards_zero(self):
        assert lif(-1.9).int().v == -1

    def test_moves_to_a_device_and_back_as_a_whole(self):
        elsewhere = nested().to("meta")
        assert {leaf.device.type for leaf in tensors(elsewhere)} == {"meta"}
        assert {leaf.device.type for leaf in tensors(nested().cpu())} == {"cpu"}
        assert elsewhere.lif.i.shape == (2,)

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    def test_moves_to_cuda_and_back(self):
        assert {leaf.device.type for leaf in tensors(nested().cuda())} == {"cuda"}
        assert_same(nested().cuda().cpu(), nested())

    def test_other_fields_stay_as_they_are(self):
        state = Trace(torch.ones(2), "name", lif()).double()
        assert state.name == "name"
        assert state.inner.v.dtype == state.rho.dtype == torch.float64

    def test_detach_cuts_the_history_off(self):
        weight = torch.ones(2, requires_grad=True)
        state = LIFRefracFeedForwardState(LIFFeedForwardState(2 * weight, 3 * weight), weight)
        detached = state.detach()
        assert not any(leaf.requires_grad for leaf in tensors(detached))
        assert all(leaf.requires_grad for leaf in tensors(state))
        assert_same(detached, LIFRefracFeedForwardState(LIFFeedForwardState(2 * weight, 3 * weight), weight))

    def test_conversions_are_differentiable(self):
        v = torch.ones((), requires_grad=True)
        state = LIFFeedForwardState(v, torch.zeros(3)).double().broadcast(torch.zeros(3))
        state.v.sum().backward()
        assert v.grad == 3


class TestBroadcast:
    def test_numbers_take_the_shape_of_the_template(self):
        template = torch.zeros(2, 3, dtype=torch.float64)
        state = LIFState(z=torch.tensor(0.0), v=torch.tensor(0.5), i=torch.full((2, 3), 0.25)).broadcast(template)
        assert [field.shape for field in state] == [(2, 3)] * 3
        assert (state.v == 0.5).all()
        assert (state.i == 0.25).all()

    def test_a_python_number_becomes_a_tensor_like_the_template(self):
        filled = broadcast_input(2, torch.zeros(2, 3, dtype=torch.float64))
        assert torch.equal(filled, torch.full((2, 3), 2.0, dtype=torch.float64))

    def test_full_fields_and_other_objects_stay_as_they_are(self):
        full = torch.rand(2, 3)
        assert broadcast_input(full, torch.zeros(2, 3)) is full
        assert broadcast_input("name", torch.zeros(2)) == "name"
        assert broadcast_input(None, torch.zeros(2)) is None
        assert broadcast_input(True, torch.zeros(2)) is True

    def test_elements_do_not_share_memory(self):
        """Otherwise a change in place of one neuron would change them all."""
        v = broadcast_input(torch.tensor(1.0), torch.zeros(3))
        v[0] = 7
        assert v.tolist() == [7, 1, 1]

    def test_nested_states_are_broadcast_too(self):
        state = LIFRefracState(
            lif=LIFState(torch.tensor(0.0), torch.tensor(1.0), torch.tensor(2.0)), rho=torch.tensor(3.0)
        )
        full = state.broadcast(torch.zeros(4))
        assert [leaf.tolist() for leaf in tensors(full)] == [[k] * 4 for k in (0, 1, 2, 3)]


class TestTorchSeesTheFields:
    @pytest.mark.parametrize("state", [lif(), nested(), Trace(torch.ones(2), "a", lif())])
    def test_flatten_and_unflatten_are_inverse(self, state):
        leaves, spec = pytree.tree_flatten(state)
        again = pytree.tree_unflatten(leaves, spec)
        assert type(again) is type(state)
        assert_same(again, state)

    def test_leaves_are_in_the_order_of_the_fields(self):
        state = nested()
        assert all(map(torch.equal, pytree.tree_leaves(state), [*state.lif, state.rho]))

    def test_tree_map_keeps_the_types(self):
        mapped = pytree.tree_map(lambda leaf: leaf + 1, nested())
        assert type(mapped) is LIFRefracState
        assert type(mapped.lif) is LIFState
        assert mapped.lif.v == 2.5

    def test_states_of_different_types_have_different_structures(self):
        assert pytree.tree_structure(LIFFeedForwardState(1, 2)) != pytree.tree_structure(Published(1, 2))

    def test_registering_twice_does_nothing(self):
        register_tuple(Published)
        assert pytree.tree_leaves(Published(1, 2)) == [1, 2]

    def test_a_users_named_tuple_can_be_registered(self):
        class Mixed(Plain):
            """A named tuple that is subclassed, which torch takes for one leaf or its base."""

        register_tuple(Mixed)
        mapped = tree_map_only(int, lambda b: b + 1, Mixed(torch.ones(1), 1))
        assert type(mapped) is Mixed
        assert mapped.b == 2

    def test_a_state_goes_through_vmap(self):
        states = LIFFeedForwardState(torch.arange(6.0).reshape(3, 2), torch.ones(3, 2))
        sums = torch.func.vmap(lambda s: LIFFeedForwardState(s.v.sum(), s.i.sum()))(states)
        assert type(sums) is LIFFeedForwardState
        assert sums.v.tolist() == [1, 5, 9]

    @pytest.mark.parametrize("form", [form for form in FORMS if not form.over_time], ids=str)
    def test_every_models_state_is_such_a_tuple(self, form):
        state = form.state(form.make())
        assert isinstance(state, StateTuple)
        leaves, spec = pytree.tree_flatten(state)
        assert all(isinstance(leaf, Tensor) for leaf in leaves)
        assert_same(pytree.tree_unflatten(leaves, spec), state)
        assert {leaf.dtype for leaf in tensors(state.double())} == {torch.float64}
        assert type(state.double()) is type(state)


class TestMapOnly:
    def test_other_types_stay_as_they_are(self):
        negated = map_only(int)(lambda x: -x)
        assert (negated(2), negated("2"), negated(2.5)) == (-2, "2", 2.5)

    def test_subclasses_are_of_the_type(self):
        parameter = torch.nn.Parameter(torch.ones(1))
        assert map_only(Tensor)(lambda x: "seen")(parameter) == "seen"

    def test_as_a_decorator(self):
        @map_only(Tensor)
        def shape(x: Tensor) -> Any:
            return tuple(x.shape)

        assert shape(torch.ones(2, 3)) == (2, 3)
        assert shape(7) == 7

    def test_over_dicts_lists_tuples_and_parameters(self):
        tree = {"p": LIFParameters(), "more": [torch.ones(2), ("a", 1.5, None)], "s": nested()}
        mapped = tree_map_only(Tensor, torch.Tensor.double, tree)
        assert {leaf.dtype for leaf in tensors(mapped)} == {torch.float64}
        assert mapped["p"].method == "super"
        assert mapped["more"][1] == ("a", 1.5, None)
        assert type(mapped["p"]) is LIFParameters
        assert type(mapped["s"].lif) is LIFState
