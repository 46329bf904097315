"""Other libraries run our files with our spikes, and we theirs: where `make interop` has made their environments."""

import pytest

from .cases import CASES, NETWORKS
from .consumers import CONSUMERS, give, python, take

ANALOG = {"readout, CubaLIF and CubaLI", "filter, CubaLI"}
EQUAL_NETWORKS = {
    "snntorch": set(NETWORKS) - ANALOG - {"recurrent, CubaLIF"},
    "sinabs": {*NETWORKS, "IF, bounded"} - {"recurrent, CubaLIF"},
    "rockpool": {"feed-forward, CubaLIF", "recurrent, CubaLIF", *ANALOG},
    "norse": set(NETWORKS),
    "spyx": {"feed-forward, LIF", "feed-forward, CubaLIF", "inhibition, IF"},
    "nirtorch": set(NETWORKS),
}
# What a library can't write, or writes otherwise than it computes.
NOT_THEIRS = {
    ("sinabs", "convolution"): "it can't write it",
    ("spyx", "LIF"): "refused",
    ("norse", "LIFCell"): "differs",
}


def needs(consumer):
    return pytest.mark.skipif(python(consumer) is None, reason=f"`make interop` installs {consumer}")


@pytest.mark.parametrize("consumer", [pytest.param(name, marks=needs(name)) for name in CONSUMERS])
def test_what_is_written_runs_with_the_same_spikes_and_everything_else_is_refused(consumer):
    results = give(consumer, CASES)
    wrong = {name: result.text for name, result in results.items() if not result.equal}
    if consumer == "nirtorch":  # it has no table of its own for these
        wrong = {name: text for name, text in wrong.items() if "Unknown node type" not in text}
    assert all(text.startswith("refused") for text in wrong.values()), wrong
    assert {name for name, result in results.items() if result.equal} >= EQUAL_NETWORKS[consumer]


@pytest.mark.parametrize(
    "consumer", [pytest.param(name, marks=needs(name)) for name in CONSUMERS if name != "nirtorch"]
)
def test_what_it_writes_gives_its_own_spikes_here(consumer):
    found = dict(take(consumer))
    assert found
    for name, result in found.items():
        expected = NOT_THEIRS.get((consumer, name))
        assert result.equal if expected is None else result.text.startswith(expected), (name, result.text)
