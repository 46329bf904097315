"""What became of a model can be read: how each layer runs, why, and on which line it stands; its code; a drawing."""

import re
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor, nn

import norse
import norse.torch as snn
from norse.compiler.module import CompiledModule

X = torch.ones(5, 2, 3)
needs_pydot = pytest.mark.skipif(find_spec("pydot") is None, reason="pydot is not installed")
needs_graphviz = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")


def line_of(code: str) -> str:
    """`file:line` of this file's line that ends in a remark."""
    lines = Path(__file__).read_text().splitlines()
    (number,) = (n for n, line in enumerate(lines, start=1) if line.endswith(f"# {code}"))
    return f"{Path(__file__).name}:{number}"


def decaying(x: Tensor, state: Tensor, p: Any, dt: float) -> tuple[Tensor, Tensor]:  # the user's step
    state = 0.9 * state + x
    return state, state


class Unclear(nn.Module):
    def forward(self, x: Tensor) -> Tensor:  # the user's forward
        x = 1.0 * x
        x += 1.0
        return x


class Network(nn.Module):
    """A user's: own arithmetic, a batch norm tick by tick, an own step, and a module that can't be followed."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.norm, self.lif = nn.Linear(3, 4), snn.Lift(nn.BatchNorm1d(4)), snn.LIF()
        self.own = snn.SNN(decaying, lambda x: torch.zeros_like(x[0]), None)
        self.unclear = Unclear()

    def forward(self, x: Tensor) -> Tensor:
        current = self.norm(self.fc(x))
        z, _ = self.lif(current)
        z = z * 0.5 + torch.roll(current, 1, 2)  # the user's arithmetic
        return self.unclear(self.own(z)[0])


def compiled(model: nn.Module, x: Tensor = X, **options: Any) -> CompiledModule:
    made = norse.compile(model, **options)
    with torch.no_grad():  # which spares the backward's kernels
        made(x)
    return made


def explained(model: CompiledModule) -> dict[str, str]:
    """What is said of each path."""
    return {line.split()[0]: line for line in model.explain().splitlines()}


class TestExplain:
    def test_lists_layers_in_the_order_in_which_they_run(self) -> None:
        lines = compiled(Network()).explain().splitlines()
        assert [line.split()[0] for line in lines] == [
            "fc", "norm.lifted_module", "lif", "(model)", "own", "unclear",
        ]  # fmt: skip

    def test_says_how_each_layer_runs(self) -> None:
        said = explained(compiled(Network()))
        assert "torch, all ticks at once" in said["fc"]
        assert re.search(r"one native loop over T: \d+ operations fused", said["lif"])
        assert re.search(r"one native loop over T: 2 operations fused", said["own"])  # times 0.9, plus x

    def test_says_why_a_part_is_eager(self) -> None:
        assert "eager: it changes a tensor in place" in explained(compiled(Network()))["unclear"]

    def test_says_where_the_users_code_of_it_stands(self) -> None:
        said = explained(compiled(Network()))
        assert "mul, torch.roll, add" in said["(model)"]
        assert line_of("the user's arithmetic") in said["(model)"]
        assert line_of("the user's step") in said["own"]
        assert line_of("the user's forward") in said["unclear"]

    def test_names_no_line_of_the_librarys(self) -> None:
        said = explained(compiled(Network()))
        assert ".py" not in said["lif"] and ".py" not in said["fc"]

    def test_says_that_a_batch_norm_in_training_is_called_tick_by_tick_and_why(self) -> None:
        model = compiled(Network())
        assert "tick by tick" in explained(model)["norm.lifted_module"]
        assert "in training mode" in explained(model)["norm.lifted_module"]
        model.eval()
        model(X)
        assert "all ticks at once" in explained(model)["norm.lifted_module"]

    def test_says_that_exactness_is_why_synapses_run_tick_by_tick(self) -> None:
        said = explained(compiled(snn.SequentialState(snn.LIFRecurrent(3, 4)), exact=True))
        assert "tick by tick" in said["0"] and "exact=True" in said["0"]

    def test_says_that_a_recurrent_synapse_is_inside_the_loop(self) -> None:
        model = snn.SequentialState(snn.LIF(), snn.LIFRecurrent(3, 4))
        said = explained(compiled(model))
        assert "with its recurrent synapse" in said["1"] and "synapse" not in said["0"]

    def test_of_a_model_that_is_eager_as_a_whole_says_why(self) -> None:
        class Deciding(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return x if bool(x.sum() < 1e9) else -x

        assert "depends on the value of a tensor" in compiled(Deciding()).explain()


class TestCode:
    def test_names_the_layers_that_it_is_for(self) -> None:
        code = compiled(Network()).code
        assert 'layer "lif" (LIF)' in code and 'layer "own" (SNN)' in code

    def test_has_a_kernel_once_for_all_layers_that_share_it(self) -> None:
        model = compiled(snn.SequentialState(nn.Linear(3, 4), snn.LIF(), nn.Linear(4, 7), snn.LIF(), snn.LI()))
        code = model.code
        assert code.count("void norse_forward") == 2  # that of LIF, and that of LI
        assert re.search(r'^// layer "1" \(LIF\), layer "3" \(LIF\): forward$', code, re.MULTILINE)

    def test_of_a_neuron_on_its_own_says_that_it_is_the_model(self) -> None:
        assert "// the model (LIF): forward" in compiled(snn.LIF()).code


@needs_pydot
class TestDraw:
    def drawn(self, graph: Any, path: Path) -> tuple[dict[str, str], list[Any]]:
        """Labels by name, and edges `(from, to, label, whether dashed)`, as another reader finds them."""
        import pydot

        graph.draw(path)
        (read,) = pydot.graph_from_dot_file(str(path))
        found = [read, *read.get_subgraphs()]
        labels = {n.get_name(): n.get_label().strip('"') for g in found for n in g.get_nodes() if n.get_label()}
        edges = [
            (labels[e.get_source()], labels[e.get_destination()], e.get_label().strip('"'), e.get_style() == "dashed")
            for e in read.get_edges()
        ]
        return labels, edges

    def test_shows_layers_and_the_types_of_what_flows_between_them(self, tmp_path: Path) -> None:
        model = compiled(snn.SequentialState(nn.Linear(3, 4), snn.LIF(), nn.Linear(4, 2), snn.LI()), backend="torch")
        labels, edges = self.drawn(model.graph, tmp_path / "net.dot")
        assert list(labels.values()) == ["x", r"0\nLinear", r"1\nLIF", r"2\nLinear", r"3\nLI", "output"]
        assert [edge for edge in edges if not edge[3]] == [
            ("x", r"0\nLinear", "analog[T, B, 3]", False),
            (r"0\nLinear", r"1\nLIF", "analog[T, B, 4]", False),
            (r"1\nLIF", r"2\nLinear", "spike[T, B, 4]", False),
            (r"2\nLinear", r"3\nLI", "analog[T, B, 2]", False),
            (r"3\nLI", "output", "analog[T, B, 2]", False),
        ]

    def test_shows_what_crosses_a_tick_dashed(self, tmp_path: Path) -> None:
        model = compiled(snn.SequentialState(nn.Linear(3, 4), snn.LIF(), snn.LIFRecurrent(4, 2)), backend="torch")
        _, edges = self.drawn(model.graph, tmp_path / "net.dot")
        assert [edge for edge in edges if edge[3]] == [
            (r"1\nLIF", r"1\nLIF", "v, i", True),
            (r"2\nLIFRecurrent", r"2\nLIFRecurrent", "z, v, i", True),
        ]

    def test_shows_the_operations_of_a_tick_and_their_registers(self, tmp_path: Path) -> None:
        """s = 0.9 s + x: the sum is the next tick's s."""
        model = compiled(snn.SNN(decaying, lambda x: torch.zeros_like(x[0]), None), backend="torch")
        _, edges = self.drawn(model.tick_graph, tmp_path / "tick.dot")
        assert [(source, target) for source, target, _, dashed in edges if dashed] == [("add", "mul")]

    @needs_graphviz
    @pytest.mark.parametrize(("suffix", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
    def test_writes_what_the_suffix_says(self, suffix: str, start: bytes, tmp_path: Path) -> None:
        path = tmp_path / f"net.{suffix}"
        compiled(snn.SequentialState(nn.Linear(3, 4), snn.LIF()), backend="torch").graph.draw(path)
        assert path.read_bytes().startswith(start)
        assert list(tmp_path.iterdir()) == [path]

    @needs_graphviz
    def test_names_with_marks_of_the_drawing_language_are_drawn_as_they_are(self, tmp_path: Path) -> None:
        model = nn.Sequential()
        name = 'a "b": <c> -> \\d'
        model.add_module(name, nn.Linear(3, 4))
        model.add_module("neurons", snn.Lift(nn.Sequential(nn.ReLU())))
        compiled(model).graph.draw(tmp_path / "net.svg")
        texts = "".join(ElementTree.parse(tmp_path / "net.svg").getroot().itertext())
        assert name in texts.replace("\xa0", " ")

    def test_refuses_other_suffixes(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"ends in \.dot, \.svg, \.png, \.pdf, got .*net\.jpeg"):
            compiled(snn.LIF(), backend="torch").graph.draw(tmp_path / "net.jpeg")

    def test_says_what_to_install_without_pydot(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pydot", None)
        with pytest.raises(ModuleNotFoundError, match=r"pydot is missing; pip install -e '\.\[viz\]' in a clone"):
            compiled(snn.LIF(), backend="torch").graph.draw(tmp_path / "net.dot")

    def test_without_graphviz_says_so_and_leaves_the_old_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = compiled(snn.LIF(), backend="torch")
        monkeypatch.setenv("PATH", str(tmp_path))
        (tmp_path / "net.svg").write_text("old")
        with pytest.raises(RuntimeError, match="install Graphviz"):
            model.graph.draw(tmp_path / "net.svg")
        assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("net.svg", "old")]
