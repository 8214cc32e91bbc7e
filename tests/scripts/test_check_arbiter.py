"""The check of the arbiter, in short: what is right passes, what is wrong is refused or told."""

import check_arbiter
import pytest
import torch


@pytest.mark.filterwarnings("ignore")  # of networks that are odd on purpose
@pytest.mark.slow
def test_nothing_right_is_refused_and_nothing_wrong_accepted(capsys):
    state = torch.get_rng_state()
    failures = check_arbiter.check(20)
    torch.set_rng_state(state)
    out = capsys.readouterr().out
    assert not failures, out
    assert "healthy: 20 of 20 accepted" in out and "broken: 20 of 20 refused or told" in out
