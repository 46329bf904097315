"""Traces a model into its network-level graph: neurons and layers are nodes, containers and user modules are followed.

What can't be followed becomes an `eager` node at the smallest module that holds it, with the reason.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import _disable_current_modes

import norse.torch as snn
from norse.compiler.check import check_step
from norse.compiler.draw_order import check_lift, check_rolled
from norse.compiler.eager import eager
from norse.compiler.errors import Unsupported
from norse.compiler.facts import MODULES_OWN
from norse.compiler.ir import Graph, Node, Operand, Ref, Type
from norse.compiler.layers import LAYERS, changes_its_input, check_layer_input, counts_its_calls
from norse.compiler.passes.mark_spikes import mark_spikes
from norse.compiler.passes.name_axes import name_axes
from norse.compiler.passes.normalise import normalise
from norse.compiler.trace.known import known_step, remember_step
from norse.compiler.trace.loops import roll
from norse.compiler.trace.neuron import (
    OVER_TIME,
    arguments_leaf,
    arguments_of,
    first_tick,
    is_neuron,
    trace_neuron,
    types_of_a_tick,
)
from norse.compiler.trace.recorder import (
    Recorder,
    any_recorded,
    intercepted_functions,
    is_recorded,
    operand,
    raw_graph,
    recorded_are_tensors,
    shapes_of,
    users_line,
)
from norse.compiler.trace.step import TRACING, Step, followed
from norse.compiler.trace.unchanged import Beginning, Made, place_of, unchanged_modules
from norse.torch.module.state_fields import StateFields
from norse.torch.module.stateful import is_stateful

# Containers whose forward only hands values on, so that a tick of theirs is a tick of their parts.
_CHAINS = (snn.SequentialState, nn.Sequential)


# What a model may return besides tensors, in tuples, lists, dicts and NamedTuples: the same at every call.
_CONSTANT_RESULTS = (type(None), bool, int, float, str, torch.dtype, torch.device)


@dataclass(frozen=True)
class Trace:
    """A model's graph, how its results are put together, and what stays eager and why."""

    graph: Graph
    outputs: Any  # the model's result with a Ref at each tensor
    eager: dict[str, str]  # module path -> reason
    followed: tuple[str, ...]  # modules whose forward was run through while tracing
    sizes: tuple[tuple[int, int | None, Any], ...] = ()  # argument, dimension (None: all) and size that it holds for
    no_ticks: tuple[int, bool] | None = None  # the argument whose ticks are those of a lifted cell; whether it has none


def trace_model(
    root: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    exact: bool = False,
    kept: tuple[type, ...] = (),
) -> Trace:
    """The graph of `root(*args, **kwargs)`. Raises Unsupported where not even an eager root can stand in a graph.

    Modules of the classes in `kept` are not followed: each is an `eager` node.
    """
    recorder = _ModelRecorder(root, exact, kept)
    names = _argument_names(root, args, kwargs)
    leaves, structure = pytree.tree_flatten((args, kwargs))
    recorded = [
        recorder.placeholder(name, leaf) if isinstance(leaf, torch.Tensor) else leaf
        for name, leaf in zip(names, leaves, strict=True)
    ]
    r_args, r_kwargs = pytree.tree_unflatten(recorded, structure)
    try:
        with TRACING, recorder.intercepting(), recorded_are_tensors(), unchanged_modules(root) as recorder.made:
            result = recorder.call_module(root, r_args, r_kwargs)
    finally:
        torch.clear_autocast_cache()  # of casts of fakes
    flat, result_structure = pytree.tree_flatten(result, is_leaf=is_recorded)
    outputs = tuple(dict.fromkeys(leaf.node.name for leaf in flat if is_recorded(leaf)))
    for leaf in flat:
        if not is_recorded(leaf) and not isinstance(leaf, _CONSTANT_RESULTS):
            raise Unsupported(
                f"it returns a {type(leaf).__name__} that does not come from its input, or hides what does"
            )
    fakes = {node.name: node.meta.get("fake") for node in recorder.graph.nodes}
    types = {
        name: Type(fake.dtype, tuple(fake.shape)) for name, fake in fakes.items() if isinstance(fake, torch.Tensor)
    }
    graph = normalise(replace(raw_graph(recorder, ()), outputs=outputs, types=types))
    rolled = roll(graph, lambda path: starts_by_shape(root.get_submodule(path)), exact)
    if exact and rolled.graph is not graph:
        check_rolled(graph, rolled.graph, recorder.modules)
    if rolled.sized:
        recorder.sizes |= {(name, None) for name in rolled.graph.inputs}
    names_now = [rolled.outputs.get(leaf.node.name, leaf.node.name) if is_recorded(leaf) else "" for leaf in flat]
    refs = [Ref(name) if name else leaf for name, leaf in zip(names_now, flat, strict=True)]
    return Trace(
        mark_spikes(name_axes(rolled.graph)),
        pytree.tree_unflatten(refs, result_structure),
        recorder.eager,
        tuple(recorder.followed),
        recorder.sizes_of(rolled.graph.inputs),
        recorder.no_ticks,
    )


def _argument_names(root: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[str]:
    """`x`, then `state_0`, ...: a name for each leaf of the arguments."""
    flat, _ = pytree.tree_flatten_with_path((args, kwargs))
    single = sum(isinstance(leaf, torch.Tensor) for leaf in pytree.tree_leaves((args, kwargs))) == 1
    return ["x" if index == 0 or single else f"x{index}" for index, _ in enumerate(flat)]


@dataclass(frozen=True)
class _NeuronCall:
    """What the calls of a neuron with inputs and states of the same shapes have in common."""

    step: Step
    arguments: tuple[Any, ...]  # that it was traced with
    starts: tuple[Any, ...]  # the leaves of its initial state
    structure: pytree.TreeSpec
    fields: tuple[str, ...]  # what those leaves are called
    results: tuple[Any, ...]  # its output, and the leaves of its state
    spikes: tuple[bool, ...]  # which of these are 0/1


class _ModelRecorder(Recorder):
    def __init__(self, root: nn.Module, exact: bool, kept: tuple[type, ...]) -> None:
        super().__init__(FakeTensorMode(allow_non_fake_inputs=True))
        self.exact = exact
        self.kept = kept
        self.modules = dict(root.named_modules())
        self.paths = {id(module): path for path, module in self.modules.items()}
        self.tensors = _tensor_paths(root)
        self.parameters: dict[tuple[str, str], Any] = {}
        self.eager: dict[str, str] = {}
        self.followed: list[str] = []
        self.module = ""  # the path of the module that is being followed
        self.lifted = False  # inside a Lift: values are those of one tick, for all ticks
        self.forgets = False  # inside a module that keeps no state from tick to tick
        self.sizes: set[tuple[str, int | None]] = set()  # read as numbers: of which input, and which dimension
        self.beginning = Beginning(root)
        self.made: dict[int, Made] = {}  # tensors that the model's code has made of numbers
        self.no_ticks: tuple[int, bool] | None = None
        self._calls: dict[Any, _NeuronCall] = {}
        self._counting: set[str] = set()  # layers in a Lift that keep statistics of their calls
        self._layers: dict[Any, Any] = {}  # what a layer makes of an input of a shape
        self._types: dict[Any, tuple[Step, dict[str, Type]]] = {}  # of a step's values, by the arguments' shapes
        self._parameters: dict[Any, Any] = {}  # a fake for all parameters of a shape

    @contextmanager
    def intercepting(self) -> Iterator[None]:
        """Calls of modules with recorded values come to `call_module`."""
        original = nn.Module.__call__

        def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            if self.made and id(module) in self.paths:
                args, kwargs = pytree.tree_map(self._recorded_if_made, (args, kwargs), is_leaf=is_recorded)
            if any_recorded((args, kwargs)):
                return self.call_module(module, args, kwargs)
            return original(module, *args, **kwargs)

        def refuse(cls: Any, args: Any) -> Any:
            raise Unsupported(f"it calls {cls.__name__}.apply outside of a neuron's step")

        nn.Module.__call__ = call  # type: ignore[method-assign]
        try:
            with intercepted_functions(refuse):
                yield
        finally:
            nn.Module.__call__ = original  # type: ignore[method-assign]

    # ---- sizes -----------------------------------------------------------------------------------

    def reads_size(self, node: fx.Node, dim: int | None) -> None:
        """The trace holds for this size alone. Of a value that is no input, for these sizes of all inputs."""
        if node.op == "placeholder" and not self.lifted:
            self.sizes.add((node.name, dim))
        else:
            self.sizes |= {(n.name, None) for n in self.graph.nodes if n.op == "placeholder"}

    def sizes_of(self, inputs: tuple[str, ...]) -> tuple[tuple[int, int | None, Any], ...]:
        fakes = {node.name: node.meta["fake"] for node in self.graph.nodes if node.op == "placeholder"}
        return tuple(
            (inputs.index(name), dim, fakes[name].shape if dim is None else fakes[name].shape[dim])
            for name, dim in sorted(self.sizes, key=repr)
        )

    # ---- modules ---------------------------------------------------------------------------------

    def call_module(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if id(module) not in self.paths:
            raise Unsupported(f"it calls a {type(module).__name__} that is none of the model's modules")
        path = self.paths[id(module)]
        reason = untraceable(module) or ("it is kept as it is" if type(module) in self.kept else None)
        if reason is None:
            handle = self._handler(module)
            outer, self.module = self.module, path
            mark = len(self.graph.nodes), len(self.followed), dict(self.eager)
            try:
                return handle(module, path, args, kwargs)
            except Unsupported as why:
                reason = str(why)
                self._forget(*mark)
            finally:
                self.module = outer
        if self.lifted:
            raise Unsupported(f"{path}: {reason}")
        self.eager[path] = reason
        try:
            return self._opaque(module, path, args, kwargs)
        except Unsupported as why:  # all around it must be eager too, for the reason that it is
            where = f'layer "{path}" ({type(module).__name__})' if path else type(module).__name__
            raise Unsupported(reason if reason.startswith("layer ") else f"{where}: {reason}") from why

    def _handler(self, module: nn.Module) -> Callable[..., Any]:
        if is_neuron(module):
            return self._neuron
        if type(module) in LAYERS:
            return self._layer
        if type(module) is snn.Lift:
            return self._lift
        if type(module).__module__.startswith("torch.nn") and type(module) not in _CHAINS:
            return _unknown_layer
        if self.lifted and type(module) not in _CHAINS and is_stateful(module):
            return _unknown_state
        return self._follow

    def _follow(self, module: nn.Module, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.followed.append(path)
        before, self.forgets = self.forgets, self.forgets or not is_stateful(module)
        try:
            return followed(lambda: module.forward(*args, **kwargs))
        finally:
            self.forgets = before

    def _layer(self, layer: nn.Module, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.beginning.check(layer)
        if len(args) != 1 or kwargs:
            raise Unsupported(f"{type(layer).__name__} is called with more than one argument")
        row = LAYERS[type(layer)]
        if not is_recorded(args[0]) or not isinstance(args[0].fake, torch.Tensor):
            raise Unsupported(f"{type(layer).__name__} is called with something else than a tensor")
        check_layer_input(layer, path, args[0].fake)
        if self.lifted and changes_its_input(layer):
            raise Unsupported(f"{type(layer).__name__} with inplace=True changes its input in place")
        if self.lifted and counts_its_calls(layer):
            if path in self._counting:
                raise Unsupported(f"{type(layer).__name__} counts its calls, and is called more than once at a tick")
            self._counting.add(path)
        attrs = {"layer": f"@{path}", "_path": path, "_row": row, "_over_time": self.lifted}
        attrs["_training"] = layer.training
        attrs["_counts"] = counts_its_calls(layer)
        attrs["_in_place"] = changes_its_input(layer)
        key = (_settings_of(layer) or path, *shapes_of(args[0].fake))
        if key not in self._layers:
            self._layers[key] = self._run_fake(layer, args, kwargs)
        fakes = (self._layers[key],)
        return self._emit(type(layer).__name__, (operand(args[0]),), attrs, fakes, (type(layer).__name__.lower(),))[0]

    def _neuron(self, module: Any, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.beginning.check(module)
        x, state = _input_and_state(module, *args, **kwargs)
        if x.fake.is_sparse:
            raise Unsupported("its input is sparse")
        stands_in = module._parameters.get("recurrent_weights")
        if stands_in is not None and not isinstance(stands_in, nn.Parameter) and not module.autapses:
            # Its diagonal is masked at every call, where a hook keeps that of a parameter zero.
            raise Unsupported("other tensors stand for its recurrent weights (torch.func.functional_call)")
        own_time = isinstance(module, OVER_TIME)
        if own_time and self.lifted:
            raise Unsupported("it is a layer over time inside a Lift")
        if self.lifted and self.forgets:
            raise Unsupported("the module around it hands on no state, so it starts anew at every tick of the Lift")
        kind = self._kind_of_call(module, path, x.fake, self.fakes(state), own_time)
        leaves = [] if state is None else [operand(leaf) for leaf in pytree.tree_leaves(state, is_leaf=is_recorded)]
        start_attrs = {"of": f"@{path}", "_path": path, "_over_time": self.lifted}
        start_attrs["_given"] = None if state is None else pytree.tree_structure(state, is_leaf=is_recorded)
        start_attrs["_spikes"] = (
            _zero_fields(module, len(kind.starts)) if state is None else (False,) * len(kind.starts)
        )
        starts = self._emit("initial_state", (operand(x), *leaves), start_attrs, kind.starts, wishes=kind.fields)
        inputs: list[Operand] = []
        for argument, leaf in kind.step.inputs:
            if argument == 0:
                inputs.append(operand(x))
            elif argument == 1:
                inputs.append(operand(starts[leaf]))
            else:
                inputs.append(Ref(self._parameter(module, path, kind.arguments, argument, leaf)))
        attrs = {
            "_path": path,
            "_step": kind.step,
            "_over_time": own_time or self.lifted,
            "_own_time": own_time,
            "_spikes": kind.spikes,
        }
        z, *states = self._emit(type(module).__name__, tuple(inputs), attrs, kind.results, wishes=("z", *kind.fields))
        if own_time and not getattr(module, "record_states", False):
            states = [self._last(leaf) for leaf in states]
        return z, pytree.tree_unflatten(states, kind.structure)

    def _kind_of_call(self, module: Any, path: str, x: Any, state: Any, own_time: bool) -> "_NeuronCall":
        """A user's loop calls a neuron again and again: what those calls have in common is found once."""
        key = (path, *shapes_of((x, state)))
        if key in self._calls:
            return self._calls[key]
        with self.mode, torch.no_grad():
            first = module.starting_state(x, state)
        arguments = arguments_of(module, first_tick(x) if own_time else x, first)
        step = known_step(module.activation, arguments) or self._new_step(module, path, arguments)
        types = self._types_of_a_tick(step, arguments)
        length = x.shape[:1] if own_time else ()
        with self.mode:
            sizes = ((types[name].dtype, cast(tuple[int, ...], types[name].axes)) for name in step.graph.outputs)
            results = tuple(torch.empty((*length, *size), dtype=dtype) for dtype, size in sizes)
        spikes = tuple(types[name].spike for name in step.graph.outputs)
        starts, structure = pytree.tree_flatten(first)
        call = _NeuronCall(step, arguments, tuple(starts), structure, _field_names(first), results, spikes)
        self._calls[key] = call
        return call

    def _types_of_a_tick(self, step: Step, arguments: tuple[Any, ...]) -> dict[str, Type]:
        key = (id(step), *((x.dtype, x.shape) for x in pytree.tree_leaves(arguments) if isinstance(x, torch.Tensor)))
        if key not in self._types:
            self._types[key] = step, types_of_a_tick(step, arguments)
        return self._types[key][1]

    def _new_step(self, module: Any, path: str, arguments: tuple[Any, ...]) -> Step:
        """The step, traced and compared with its function; once more for another shape, it is the same object."""
        step = trace_neuron(module, arguments)
        for (where, *_), call in self._calls.items():
            if where == path and call.step.equals(step):
                return call.step
        with _disable_current_modes():  # it computes with real numbers
            check_step(step, module.activation, arguments)
        return remember_step(module.activation, arguments, step)

    def _lift(self, module: Any, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A lifted module is its own tick, and its values are those of all ticks."""
        if self.lifted:
            raise Unsupported("it is a Lift inside a Lift")
        if len(args) != 1 or kwargs:
            raise Unsupported("Lift takes one argument")
        mark = len(self.graph.nodes), len(self.followed), dict(self.eager)
        try:
            return self._lifted(module, args[0])
        except Unsupported:
            if not is_stateful(module.lifted_module):
                raise
            self._forget(*mark)  # what one tick does not tell, all of them may, traced as a user's loop
            return self._follow(module, path, args, kwargs)

    def _lifted(self, module: Any, given: Any) -> Any:
        sequence, state = given if isinstance(given, tuple) else (given, None)
        if not is_recorded(sequence):
            raise Unsupported("a Lift of several inputs is no tick of one sequence")
        inner = module.lifted_module
        fake = sequence.fake
        tick = self._emit("enter", (operand(sequence),), {}, (first_tick(fake),))[0]
        mark = len(self.graph.nodes)
        before, self.lifted, self.forgets = self.forgets, True, False
        try:
            result = inner(tick, state) if is_stateful(inner) else inner(tick)
        finally:
            self.lifted, self.forgets = False, before
        if self.exact:
            lifted = {node.name for node in list(self.graph.nodes)[mark:]}
            nodes = normalise(raw_graph(self, ())).nodes
            check_lift([node for node in nodes if lifted.intersection(node.outputs)], self.modules)
        out, new_state = result if is_stateful(inner) else (result, None)
        out = self._leave(out, fake.shape[0])
        # A state that was not given is still None after no ticks.
        counts = any(type(part) in LAYERS and counts_its_calls(part) for part in inner.modules())
        if counts or is_stateful(inner):
            inputs = [node.name for node in self.graph.nodes if node.op == "placeholder"]
            name = sequence.node.name
            self.no_ticks = (inputs.index(name) if name in inputs else 0, fake.shape[0] == 0)
        if fake.shape[0] == 0 and counts:
            raise Unsupported("without ticks, eager tries one of zeros, and a layer counts it in its statistics")
        if fake.shape[0] == 0 and is_stateful(inner):
            return out, state
        new_state = pytree.tree_map(
            lambda leaf: self._last(leaf) if is_recorded(leaf) else leaf, new_state, is_leaf=is_recorded
        )
        return (out, new_state) if is_stateful(inner) else out

    def _leave(self, tick: Any, length: int) -> Any:
        if not is_recorded(tick):
            raise Unsupported("a lifted module returns something else than a tensor")
        return self._emit("leave", (operand(tick),), {}, (tick.fake.new_empty((length, *tick.fake.shape)),))[0]

    def _last(self, value: Any) -> Any:
        """The value at the last tick. Inside and behind a Lift the fake is that of a tick already."""
        fake = value.fake
        shape = fake.shape[1:] if value.node.meta.get("own_time") else fake.shape
        return self._emit("last", (operand(value),), {}, (fake.new_empty(shape),))[0]

    def _opaque(self, module: nn.Module, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """An `eager` node: the live module is called, with hooks and all. Fake tensors tell what it returns."""
        self.beginning.check(module)
        leaves, structure = pytree.tree_flatten((args, kwargs), is_leaf=is_recorded)
        result = self._run_fake(module, args, kwargs)
        flat, result_structure = pytree.tree_flatten(result)
        tensors = [leaf for leaf in flat if isinstance(leaf, torch.Tensor)]
        if any(leaf is not None and not isinstance(leaf, torch.Tensor) for leaf in flat):
            raise Unsupported("it returns something else than tensors, which may be another at the next call")
        attrs = {
            "layer": f"@{path}",
            "_path": path,
            "_class": type(module).__name__,
            "_of_torch": type(module).__module__.startswith("torch.nn"),
            "_leaves": tuple(None if is_recorded(leaf) else leaf for leaf in leaves),
            "_places": tuple(k for k, leaf in enumerate(leaves) if is_recorded(leaf)),
            "_structure": structure,
            "_result_structure": result_structure,
            "_results": tuple(place for place, leaf in enumerate(flat) if leaf is not None),
        }
        inputs = tuple(operand(leaf) for leaf in leaves if is_recorded(leaf))
        made = iter(self._emit("eager", inputs, attrs, tuple(tensors)))
        return pytree.tree_unflatten([None if leaf is None else next(made) for leaf in flat], result_structure)

    def _run_fake(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            with self._fake_buffers(module), self.mode, torch.no_grad(), eager():
                return module(*self.fakes(args), **self.fakes(kwargs))
        except (Exception, Unsupported) as error:
            path = self.paths[id(module)]
            raise Unsupported(f"what {path or 'it'} returns can't be told without running it: {error}") from error

    @contextmanager
    def _fake_buffers(self, module: nn.Module) -> Iterator[None]:
        """A batch norm counts its calls in a buffer, and this is none; without momentum it makes a number of them."""
        held = [(part._buffers, dict(part._buffers)) for part in module.modules()]
        means: list[Any] = [part for part in module.modules() if getattr(part, "momentum", 0.0) is None]
        for part in means:
            part.momentum = 0.1
        for buffers, real in held:
            buffers.update({name: x if x is None else self.mode.from_tensor(x) for name, x in real.items()})
        try:
            yield
        finally:
            for buffers, real in held:
                buffers.clear()
                buffers.update(real)
            for part in means:
                part.momentum = None

    # ---- nodes -----------------------------------------------------------------------------------

    def _emit(
        self,
        op: str,
        inputs: tuple[Operand, ...],
        attrs: dict[str, Any],
        fakes: tuple[Any, ...],
        wishes: tuple[str, ...] = (),
    ) -> list[Any]:
        self.check_settings()
        made = []
        for index, fake in enumerate(fakes):
            node = self.create_node("call_function", _emitted, (), {}, wishes[index] if wishes else op)
            node.meta.update(fake=fake, ir=None, own_time=attrs.get("_own_time", False), fixed=op == "parameter")
            made.append(self.proxy(node))
        names = tuple(value.node.name for value in made)
        made[0].node.meta["ir"] = Node(op, names, inputs, attrs, self.module)
        return made

    def _parameter(self, module: Any, path: str, arguments: tuple[Any, ...], argument: int, leaf: int) -> str:
        is_p = argument == len(arguments) - 2
        if is_p:
            keys = pytree.tree_flatten_with_path(module.p)[0][leaf][0]
            name, attrs = f"p{pytree.keystr(keys)}", {"_name": "p", "_leaf": leaf}
        else:
            name = module.weight_names[argument - 2]
            attrs = {"_name": name, "_leaf": None}
        return self._parameter_node(path, name, attrs, arguments_leaf(arguments, argument, leaf))

    def _parameter_node(self, path: str, name: str, attrs: dict[str, Any], value: torch.Tensor) -> str:
        if (path, name) not in self.parameters:
            full = f"{path}.{name}" if path else name
            fake = self._fake_parameter(value.detach())
            (made,) = self._emit(
                "parameter", (), {"path": full, "_path": path, **attrs}, (fake,), (name.split(".")[-1],)
            )
            self.parameters[path, name] = made
        return str(self.parameters[path, name].node.name)

    def _fake_parameter(self, value: torch.Tensor) -> Any:
        if value.layout != torch.strided:
            return self.mode.from_tensor(value)
        key = (type(value), value.dtype, value.device, value.shape, value.stride())
        if key not in self._parameters:
            self._parameters[key] = self.mode.from_tensor(value)
        return self._parameters[key]

    def create_arg(self, a: Any) -> Any:
        if isinstance(a, torch.Tensor) and id(a) in self.tensors:
            path, name = self.tensors[id(a)]
            self._parameter_node(path, name, {"_name": name, "_leaf": None}, a)
            return self.parameters[path, name].node
        recorded = self._recorded_if_made(a)
        return recorded.node if recorded is not a else super().create_arg(a)

    def _recorded_if_made(self, value: Any) -> Any:
        """`torch.zeros(x.shape[1], 8)` in a forward: a call without operands. Sizes in it are those of the guard."""
        made = self.made.get(place_of(value)) if isinstance(value, torch.Tensor) else None
        if made is None or not made.still_is(value):
            return value
        attrs = {"target": f"torch.{made.__name__}", "_target": made, "_kwargs": {}, "_line": users_line()}
        return self._emit("call", (), attrs, (self.mode.from_tensor(made.tensor),), (made.__name__,))[0]

    def describe(self, node: fx.Node) -> None:
        used = node.all_input_nodes
        fixed = bool(used) and all(other.meta.get("fixed", False) for other in used)
        node.meta.update(fixed=fixed, over_time=self.lifted and not fixed, module=self.module)

    def _forget(self, nodes: int, followed_before: int, eager: dict[str, str]) -> None:
        """Takes back what was recorded in vain."""
        for node in list(self.graph.nodes)[nodes:][::-1]:
            self.graph.erase_node(node)
        kept = set(self.graph.nodes)
        self.parameters = {key: value for key, value in self.parameters.items() if value.node in kept}
        del self.followed[followed_before:]
        self.eager = eager


def starts_by_shape(neuron: Any) -> bool:
    """Whether its initial state is the library's, which takes no more of the input than its shape and dtype."""
    fallback = neuron.state_fallback
    return neuron.state_type is not None and getattr(fallback, "__func__", None) is type(neuron).initial_state


def _zero_fields(neuron: Any, count: int) -> tuple[bool, ...]:
    """For each tensor of its initial state whether it is zero, as all are that rest at no parameter."""
    if not starts_by_shape(neuron):
        return (False,) * count

    def zeros(declared: StateFields) -> Iterator[bool]:
        for _, parameter, nested in declared.fields:
            yield from [parameter is None] if nested is None else zeros(nested)

    found = tuple(zeros(neuron.state_fields))
    return found if len(found) == count else (False,) * count


def untraceable(module: nn.Module) -> str | None:
    """Why a module must be called as it is, if it must."""
    if "_variants" in module.__dict__:  # of norse.compile, whose class is made of this tracing
        return "it is compiled on its own"
    if "forward" in module.__dict__:
        return "its forward was replaced on the object"
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    if any(hooks):
        return "it has hooks"
    if nn.utils.parametrize.is_parametrized(module):
        return "it has parametrized parameters"
    return None


_PLAIN = frozenset({type(None), bool, int, float, str})


def _settings_of(layer: nn.Module) -> Any:
    """All that decides what a layer of torch makes of an input's shape; None where that is not known."""
    if layer._modules:
        return None
    tensors = tuple(
        (name, x if x is None else (x.dtype, x.device, x.shape))
        for name, x in (*layer._parameters.items(), *layer._buffers.items())
    )
    settings = {name: value for name, value in layer.__dict__.items() if name not in MODULES_OWN}
    settings = {name: value if isinstance(value, tuple) else (value,) for name, value in settings.items()}
    if any(type(part) not in _PLAIN for value in settings.values() for part in value):
        return None
    return type(layer), layer.training, tensors, tuple(settings.items())


def _unknown_layer(layer: nn.Module, *_: Any) -> Any:
    raise Unsupported(f"{type(layer).__name__} is not in the layer table")


def _unknown_state(module: nn.Module, *_: Any) -> Any:
    raise Unsupported(f"{type(module).__name__} carries a state of its own through the ticks of a Lift")


def _emitted(*_: Any) -> None:
    """The target of nodes that are IR already."""


def _input_and_state(module: Any, input_tensor: Any = None, state: Any = None) -> tuple[Any, Any]:
    if not is_recorded(input_tensor) or not isinstance(input_tensor.fake, torch.Tensor):
        raise Unsupported("its input does not depend on the model's input")
    return input_tensor, state


def _field_names(state: Any) -> tuple[str, ...]:
    paths = pytree.tree_flatten_with_path(state)[0]
    last = (path[-1] if path else None for path, _ in paths)
    return tuple(str(getattr(key, "name", None) or getattr(key, "key", "state")) for key in last)


def _tensor_paths(root: nn.Module) -> dict[int, tuple[str, str]]:
    """Where the model holds each of its tensors: parameters, buffers and plain attributes."""
    found: dict[int, tuple[str, str]] = {}
    for path, module in root.named_modules():
        held = {**module._parameters, **module._buffers, **module.__dict__}
        for name, value in held.items():
            if isinstance(value, torch.Tensor):
                found.setdefault(id(value), (path, name))
    return found
