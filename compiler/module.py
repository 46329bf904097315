"""The compiled model: a module that looks like the model, traces it at the first call, and runs the schedule."""

import functools
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd import forward_ad
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import _disable_current_modes

from norse.compiler.cut import cut_time
from norse.compiler.draw_order import check_order
from norse.compiler.eager import SWITCH
from norse.compiler.errors import CompileError, InputError, Unsupported
from norse.compiler.explain import explain, generated_code, noted
from norse.compiler.facts import Facts
from norse.compiler.guard import Guard, call_key, flattened
from norse.compiler.ir import Graph
from norse.compiler.measure import profile
from norse.compiler.passes.pipeline import run_pipeline
from norse.compiler.pieces import in_ranges
from norse.compiler.profile import Profile
from norse.compiler.results import Build, builder
from norse.compiler.schedule import Options, make_schedule
from norse.compiler.staged import Staged
from norse.compiler.steps.alignment import made_apart
from norse.compiler.steps.fuse_layers import fuse_layers
from norse.compiler.steps.loop import warn_once
from norse.compiler.steps.stepped import Runs
from norse.compiler.stream import Stream, takes_time
from norse.compiler.trace.model import Trace, trace_model

_MOST_VARIANTS = 8
_PLAIN = (torch.Tensor, nn.Parameter)
_NO_FACTS = Facts()  # of calls with tensors alone, or none: about these there is nothing to keep


@dataclass
class Variant:
    """The model compiled for one kind of call: what was traced, and the steps that run it (none: all eager).

    `fused` are the steps as they run when nobody watches them one by one.
    """

    guard: Guard
    trace: Trace | None = None
    ticks: Graph | None = None
    steps: list[Runs] = field(default_factory=list)
    fused: list[Runs] = field(default_factory=list)
    reason: str = ""
    staged: Staged | None = None  # the same steps, to be run with less memory

    def fits(self, leaves: Sequence[Any]) -> bool:
        """Whether the call has the sizes that the trace holds for: those that a user's Python read as numbers, and
        whether there is any tick."""
        if self.trace is None or not (self.trace.sizes or self.trace.no_ticks):
            return True
        shapes = [leaf.shape for leaf in leaves if isinstance(leaf, torch.Tensor)]
        index, empty = self.trace.no_ticks or (0, 0 in shapes[0][:1])
        if (0 in shapes[index][:1]) != empty:
            return False
        return all(
            (shapes[index] if dimension is None else shapes[index][dimension]) == size
            for index, dimension, size in self.trace.sizes
        )

    def run(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], leaves: Sequence[Any]) -> Any:
        """The call; `leaves` are all that is in its arguments."""
        if self.trace is None:
            return model(*args, **kwargs)
        tensors = (leaf for leaf in leaves if isinstance(leaf, torch.Tensor))
        values: dict[str, Any] = dict(zip(self.trace.graph.inputs, tensors, strict=True))
        if self.staged is not None and self.staged.is_worth_it(values):
            return self.results(self.staged.run(values))
        for step in in_ranges(self.steps, model) or self.fused:
            step.run(values)
        return self.results(values)

    def results(self, values: Mapping[str, Any]) -> Any:
        """What the call returns, of all values."""
        return self._build(values)

    @functools.cached_property
    def _build(self) -> Build:
        assert self.trace is not None
        assert self.ticks is not None
        return builder(self.trace.outputs, dict(zip(self.trace.graph.outputs, self.ticks.outputs, strict=True)))


def _forward(compiled: "weakref.ref[CompiledModule]", *args: Any, **kwargs: Any) -> Any:
    module = compiled()
    assert module is not None
    if torch.compiler.is_dynamo_compiling():
        return _run_as_it_is(module, *args, **kwargs)
    return module.run(*args, **kwargs)


@torch.compiler.disable
def _run_as_it_is(module: "CompiledModule", *args: Any, **kwargs: Any) -> Any:
    """A break in the graph of torch.compile, whose guards know nothing of what a trace here takes for constant."""
    return module.run(*args, **kwargs)


@contextmanager
def _without_hooks() -> Iterator[None]:
    """What tracing computes to check itself is none of the business of hooks such as torch.utils.checkpoint's.

    They are taken away: torch.func, which a step may call, refuses to run under any, also under some that do nothing.
    """
    hooks = torch._C._autograd
    taken = []
    while (top := hooks._top_saved_tensors_default_hooks(False)) is not None:
        taken.append(top)
        hooks._pop_saved_tensors_default_hooks()
    try:
        yield
    finally:
        for pack, unpack in reversed(taken):
            hooks._push_saved_tensors_default_hooks(pack, unpack)


def _untraced(leaf: Any) -> Any:
    """An argument that torch simulates (torch.export does) as a tensor like it: tracing asks for no values."""
    if not isinstance(leaf, FakeTensor):
        return leaf
    sizes, strides = (tuple(int(n) for n in numbers) for numbers in (leaf.shape, leaf.stride()))
    like = torch.empty_strided(sizes, strides, dtype=leaf.dtype, device=leaf.device)
    return like.requires_grad_(leaf.requires_grad)


def _traced(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], exact: bool) -> Trace:
    """The trace, or the reason why there's none: whatever torch can't simulate may still run."""
    for leaf in pytree.tree_leaves((args, kwargs)):
        if isinstance(leaf, torch.Tensor) and type(leaf) not in _PLAIN:
            raise Unsupported(f"it is given a {type(leaf).__name__}, which may have operations of its own")
    try:
        return trace_model(model, args, kwargs, exact)
    except (Unsupported, InputError):
        raise
    except Exception as error:
        raise Unsupported(f"tracing failed: {type(error).__name__}: {error}") from error


def _the_models(name: str) -> Any:
    """An attribute that is the model's own, whichever of the two it is set on."""

    def read(module: "CompiledModule") -> Any:
        return getattr(module.model, name)

    def write(module: "CompiledModule", value: Any) -> None:
        if "_model" in module.__dict__:  # else torch.nn.Module.__init__ sets it up
            setattr(module.model, name, value)

    return property(read, write)


class CompiledModule(nn.Module):
    """What `norse.compile` returns. Parameters, buffers, submodules and all attributes are the model's own.

    It has the model's call signature; `graph`, `tick_graph`, `code` and `explain()` show what became of the last call.
    """

    training = _the_models("training")
    _parameters = _the_models("_parameters")
    _buffers = _the_models("_buffers")
    _modules = _the_models("_modules")
    _non_persistent_buffers_set = _the_models("_non_persistent_buffers_set")
    _state_dict_hooks = _the_models("_state_dict_hooks")
    _state_dict_pre_hooks = _the_models("_state_dict_pre_hooks")
    _load_state_dict_pre_hooks = _the_models("_load_state_dict_pre_hooks")
    _load_state_dict_post_hooks = _the_models("_load_state_dict_post_hooks")

    def __init__(self, model: nn.Module, options: Options, fullgraph: bool) -> None:
        super().__init__()
        self.__dict__.update(_model=model, _options=options, _fullgraph=fullgraph, _variants=[], _last=None)
        self._bind()

    def _bind(self) -> None:
        """`forward` with the model's own signature, by which containers tell that a module takes a state."""
        self.__dict__["forward"] = functools.wraps(self.model.forward)(functools.partial(_forward, weakref.ref(self)))

    @property
    def model(self) -> nn.Module:
        """The model as it was given: plain eager PyTorch."""
        return self.__dict__["_model"]  # type: ignore[no-any-return]

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """The model's forward, compiled."""
        if SWITCH.get():  # `with norse.eager():`, or NORSE_EAGER
            return self.model(*args, **kwargs)
        # vmap, grad and forward-mode differentiation transform eager's operations.
        if torch._C._functorch.maybe_current_level() is not None or forward_ad._current_level >= 0:
            return self.model(*args, **kwargs)
        variants: list[tuple[Any, Facts, Variant]] = self.__dict__["_variants"]
        leaves, structure = flattened(args, kwargs)
        facts = _NO_FACTS if isinstance(structure, int) else Facts()
        key = facts.keep(lambda facts: call_key(leaves, structure, facts))
        for known, _, variant in reversed(variants):
            if known == key and variant.fits(leaves) and variant.guard.holds():
                self.__dict__["_last"] = variant
                return variant.run(self.model, args, kwargs, leaves)
        with _without_hooks(), _disable_current_modes():
            self.__dict__["_last"] = variant = self._compiled(*pytree.tree_map(_untraced, (args, kwargs)))
        result = variant.run(self.model, args, kwargs, leaves)
        self._remember(key, facts, variant)  # only now: calls that raise must not push out those that don't
        return result

    # ---- it is the model -------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        if "_model" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.model, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN or isinstance(getattr(type(self), name, None), property):
            object.__setattr__(self, name, value)
        else:
            setattr(self.model, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self.model, name)

    def register_parameter(self, name: str, param: nn.Parameter | None) -> None:
        self.model.register_parameter(name, param)

    def register_buffer(self, name: str, tensor: torch.Tensor | None, persistent: bool = True) -> None:
        self.model.register_buffer(name, tensor, persistent)

    def add_module(self, name: str, module: nn.Module | None) -> None:
        self.model.add_module(name, module)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        return self.model.state_dict(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        return self.model.load_state_dict(*args, **kwargs)

    def _load_from_state_dict(self, *args: Any) -> None:  # where it is a part of another module
        self.model._load_from_state_dict(*args)

    def get_extra_state(self) -> Any:
        return self.model.get_extra_state()

    def set_extra_state(self, state: Any) -> None:
        self.model.set_extra_state(state)

    def train(self, mode: bool = True) -> Self:
        self.model.train(mode)
        return self

    def eval(self) -> Self:
        self.model.eval()
        return self

    def apply(self, fn: Callable[[nn.Module], None]) -> Self:
        self.model.apply(fn)
        return self

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        self.model._apply(fn, recurse)
        return self

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, nn.Parameter]]:
        return self.model.named_parameters(*args, **kwargs)

    def named_buffers(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, torch.Tensor]]:
        return self.model.named_buffers(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        state = {**self.__dict__, "_variants": [], "_last": None}  # compiled again where it's loaded
        del state["forward"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._bind()

    def extra_repr(self) -> str:
        return f"compiled {type(self.model).__name__}"

    # ---- what became of it -----------------------------------------------------------------------

    @property
    def graph(self) -> Graph:
        """The network: neurons, layers, what flows between them, and remarks on how each runs."""
        variant = self._traced()
        return noted(variant.trace, variant.ticks)  # type: ignore[arg-type]

    @property
    def tick_graph(self) -> Graph:
        """One tick in operations and registers, cut into the regions that run."""
        return self._traced().ticks  # type: ignore[return-value]

    @property
    def code(self) -> str:
        """The generated text of every kernel that was built so far."""
        variant = self._traced()
        return generated_code(variant.trace, variant.steps)  # type: ignore[arg-type]

    def explain(self) -> str:
        """Per layer, or line of the user's code: one native loop, all ticks at once, tick by tick or eager, and why."""
        variant = self._called()
        if variant.trace is None or variant.ticks is None:
            return f"The whole model runs eagerly: {variant.reason}"
        modules, exact = dict(self.model.named_modules()), self.__dict__["_options"].exact
        text = explain(variant.trace, variant.ticks, variant.steps, modules, exact, variant.fused)
        remark = variant.staged.remark() if variant.staged is not None else ""
        return f"{text}\nmemory: {remark}" if remark else text

    def profile(self, *args: Any, backward: bool = False, repeats: int = 10, **kwargs: Any) -> Profile:
        """What a call costs, piece by piece: time, bytes, floating point and synaptic operations, density of spikes.

        The call is made several times; buffers, random numbers and `.grad` are afterwards as they were. What is
        measured and what is computed is said in docs/debugging.md.

        Args:
            args: as the model takes them.
            backward: whether to compute gradients too, of the sum of all results.
            repeats: how many calls to measure; times are their medians.
            kwargs: as the model takes them.

        Returns:
            A table: it prints, has `rows`, and `to_chrome_trace(path)`.

        Raises:
            ValueError: if there is nothing to differentiate, or repeats is less than 1.

        Example:
            >>> import torch, norse, norse.torch as snn
            >>> compiled = norse.compile(snn.SequentialState(torch.nn.Linear(3, 4), snn.LIF()))
            >>> table = compiled.profile(torch.ones(100, 8, 3))
            >>> [(row.layer, row.operation, row.synops) for row in table.rows][1:]
            [('0', 'Linear', 9600), ('1', 'LIF loop', None)]
        """
        return profile(self.run, self._called, self.model, args, kwargs, backward, repeats)

    def stream(self, state: Any = None, *, over_time: bool | None = None) -> Stream:
        """The model for one tick at a time: keeps the state inside, takes tensors or arrays, computes no gradients.

        After a first tick, what the model's kernels and linear layers do at a tick is replayed without Python, as long
        as nothing else depends on the input; else every tick is a call. Parameters changed in place by torch (by an
        optimizer, by `load_state_dict`) are seen; behind its back (`.data`), only at the next `stream()`.

        Args:
            state: to start from, as the model returns it; None starts anew.
            over_time: whether the model takes `[T, B, N]`, so that a tick is passed as one of them. None: it does if it
                has layers over time or a `Lift`.

        Returns:
            A function of a tick `[B, N]` that gives the model's output at that tick, with the attribute `state`.

        Example:
            >>> import torch, norse, norse.torch as snn
            >>> compiled = norse.compile(snn.SequentialState(torch.nn.Linear(3, 4), snn.LIF()))
            >>> tick = compiled.stream()
            >>> [tick(torch.full((1, 3), 9.0)).shape for _ in range(3)]
            [torch.Size([1, 4]), torch.Size([1, 4]), torch.Size([1, 4])]
        """
        over_time = takes_time(self.model) if over_time is None else over_time
        return Stream(self, self.__dict__["_options"].record, over_time, state)

    @property
    def variant(self) -> Variant:
        """What the last call ran."""
        return self._called()

    def _called(self) -> Variant:
        if self.__dict__["_last"] is None and SWITCH.get():
            raise CompileError("every model runs eagerly now (NORSE_EAGER or norse.eager()), so this one too")
        if self.__dict__["_last"] is None:
            raise CompileError("the model compiles at its first call: call it once before asking what became of it")
        return self.__dict__["_last"]  # type: ignore[no-any-return]

    def _traced(self) -> Variant:
        variant = self._called()
        if variant.trace is None:
            raise CompileError(f"the whole model runs eagerly, so it has no graph: {variant.reason}")
        return variant

    # ---- variants --------------------------------------------------------------------------------

    def _remember(self, key: Any, facts: Facts, variant: Variant) -> None:
        """`facts` keep alive what the key knows by its identity."""
        variants = self.__dict__["_variants"]
        variants.append((key, facts, variant))
        if len(variants) > _MOST_VARIANTS:
            del variants[0]
            warn_once(
                f"norse.compile: {type(self.model).__name__} has been traced for more than {_MOST_VARIANTS} kinds of "
                "calls (dtypes, ranks, structures, settings); the oldest are forgotten, and traced again when they come"
            )

    def _compiled(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Variant:
        model, options = self.model, self.__dict__["_options"]
        try:
            trace = _traced(model, args, kwargs, options.exact)
            modules = dict(model.named_modules())
            ticks = run_pipeline(trace.graph, options.exact)
            if options.synapses.ahead is not None:
                options.synapses.ahead(ticks)
            if options.exact:
                check_order(trace.graph, ticks, modules)
            apart = made_apart(trace.graph)
            steps = make_schedule(ticks, modules, options, apart)
        except Unsupported as why:
            if self.__dict__["_fullgraph"]:
                raise CompileError(f"norse.compile(fullgraph=True): {why}") from why
            return Variant(Guard(model, (), ("",)), reason=str(why))
        if trace.eager and self.__dict__["_fullgraph"]:
            eager = "; ".join(f'"{path}" ({type(modules[path]).__name__}): {why}' for path, why in trace.eager.items())
            raise CompileError(f"norse.compile(fullgraph=True): these modules would run eagerly: {eager}")
        fused = fuse_layers(steps, ticks, options.synapses.fuses, modules)
        variant = Variant(Guard(model, trace.followed, trace.eager), trace, ticks, steps, fused)
        if options.memory.mode != "fast":
            fuses = options.synapses.fuses
            cut = functools.partial(cut_time, ticks, steps, modules, options.exact, apart, fuses)
            variant.staged = Staged(cut, ticks.types, model, modules, options.memory)
        return variant


# Set on the compiled module itself: hooks, which torch calls around a module. All else goes to the model.
_OWN = frozenset(vars(nn.Module())) | {"_compiled_call_impl", "__class__"}
