"""Loops over time drawn at random: whatever is carried, delayed or decided at a tick, eager and compiled agree."""

import copy
from typing import Any

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

import norse

from .test_user_loops import Layers, assert_alike, sequence

# What a statement of the loop's body may be; each reads and writes the loop's variables `v`.
STATEMENTS = {
    "neuron": lambda m, v, t, n: v.update(zip(("z", "s1"), m.lif(v["h"], v["s1"]), strict=True)),
    "second neuron": lambda m, v, t, n: v.update(zip(("y", "s2"), m.second(v["h"] + v["z"], v["s2"]), strict=True)),
    "again": lambda m, v, t, n: v.update(zip(("y", "s1"), m.lif(v["h"] * 0.5, v["s1"]), strict=True)),
    "synapse": lambda m, v, t, n: v.update(h=m.hidden(v["z"]) + v["h"]),
    "feedback": lambda m, v, t, n: v.update(h=v["h"] + m.hidden(v["y"])),
    "trace": lambda m, v, t, n: v.update(k=0.9 * v["k"] + v["h"]),
    "use of the trace": lambda m, v, t, n: v.update(h=v["h"] - v["k"]),
    "delay": lambda m, v, t, n: v.update(h=v["h"] + (v["zs"][-2] if len(v["zs"]) > 1 else 0.0)),
    "input delay": lambda m, v, t, n: v.update(h=v["h"] - m.fc(v["x"][max(t - 2, 0)])),
    "mirror": lambda m, v, t, n: v.update(h=v["h"] + m.fc(v["x"][n - 1 - t])),
    "late": lambda m, v, t, n: v.update(h=v["h"] * 2) if t >= 5 else None,
    "rarely": lambda m, v, t, n: v.update(s1=None) if t == 4 else None,
    "gain at a tick": lambda m, v, t, n: v.update(h=v["h"] * (1.5 if t == n - 2 else 1.0)),
    "swap": lambda m, v, t, n: v.update(z=v["y"], y=v["z"]),
    "halves": lambda m, v, t, n: v.update(h=torch.cat(v["h"].chunk(2, -1)[::-1], -1)),
    "detached": lambda m, v, t, n: v.update(k=v["k"].detach()),
    "sum": lambda m, v, t, n: v.update(total=v["total"] + v["z"] if t else v["z"]),
    "first": lambda m, v, t, n: v.update(k=v["zs"][0]) if t == 3 else None,
}


def program(names: tuple[str, ...]) -> Any:
    def forward(m: Any, x: Tensor) -> dict[str, Any]:
        silence = torch.zeros_like(m.fc(x[0]))
        v: dict[str, Any] = {"x": x, "s1": None, "s2": None, "z": silence, "y": silence, "k": silence, "zs": []}
        v["total"] = silence
        ys = []
        for t in range(len(x)):
            v["h"] = m.fc(x[t])
            for name in ("neuron", *names):
                STATEMENTS[name](m, v, t, len(x))
            v["zs"].append(v["z"])
            ys.append(v["h"] + v["k"])
        result = {"z": torch.stack(v["zs"]), "y": torch.stack(ys[::-1]), "total": v["total"], "state": v["s1"]}
        return result | {"last": v["y"], "late": torch.stack(v["zs"][3:]), "sum": sum(ys[1:])}

    return forward


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(sorted(STATEMENTS)), min_size=1, max_size=5).map(tuple))
def test_a_random_loop_gives_what_eager_gives(names: tuple[str, ...]) -> None:
    model = Layers(program(names)).double()
    eager = copy.deepcopy(model)
    compiled = norse.compile(model)
    for length in (8, 13):
        assert_alike(compiled, eager, sequence(program, length, 2))
