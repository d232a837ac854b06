"""`trial.distributed`: a plain torch loop sees the same batches, gradients and rates, however the batch is cut."""

import warnings
from typing import Any

import pytest

from celeriac import Trial

torch = pytest.importorskip("torch")
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler, TensorDataset  # noqa: E402


def _data(samples: int = 20) -> Any:
    numbers = torch.arange(samples, dtype=torch.float64)
    return TensorDataset(torch.stack([numbers, numbers**2 / samples], 1), torch.sin(numbers))


def _model(*layers: Any) -> Any:
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(2, 3), *layers, torch.nn.Tanh(), torch.nn.Linear(3, 1)).double()


def _training(batch: int = 8, *, model: Any = None, optimizer: Any = None, data: Any = None, **more: Any) -> Any:
    model = model or _model()
    loader = DataLoader(data or _data(), batch_size=batch, shuffle=True)
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    trial = Trial.offline({}, seed=more.pop("seed", 3), start=more.pop("start", 0))
    return trial.distributed(model, optimizer, loader, **more)


def _loss(training: Any, batch: Any) -> Any:
    inputs, labels = batch
    return torch.nn.functional.mse_loss(training.model(inputs)[:, 0], labels)


def _curve(training: Any, epochs: int = 3) -> list[float]:
    losses = []
    for _ in range(epochs):
        for batch in training:
            training.backward(_loss(training, batch))
            if training.step():
                losses.append(training.loss)
    return losses


@pytest.mark.parametrize("batch", [5, 8, 20, 64])
@pytest.mark.parametrize("most", [1, 3, 5])
def test_accumulation_gives_the_curve_of_the_whole_batch(batch: int, most: int) -> None:
    whole, cut = _curve(_training(batch)), _curve(_training(batch, per_device_max=most))
    assert cut == pytest.approx(whole, abs=1e-12)
    assert len(whole) == 3 * -(-20 // batch)


def test_the_gradient_is_that_of_a_plain_loop_over_the_same_samples() -> None:
    training, plain = _training(8, per_device_max=3), _model()
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.05, momentum=0.9)
    seen: list[Any] = []
    for batch in training:
        seen.append(batch)
        training.backward(_loss(training, batch))
        if training.step():
            inputs, labels = (torch.cat(parts) for parts in zip(*seen, strict=True))
            torch.nn.functional.mse_loss(plain(inputs)[:, 0], labels).backward()
            optimizer.step()
            optimizer.zero_grad()
            seen.clear()
    for ours, theirs in zip(training.model.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-13)


def test_an_epoch_is_every_sample_once_in_an_order_of_its_own() -> None:
    def order(training: Any) -> list[float]:
        return [float(x) for inputs, _ in training for x in inputs[:, 0]]

    training = _training(8, per_device_max=3)
    first, second = order(training), order(training)
    assert sorted(first) == sorted(second) == [float(n) for n in range(20)]
    assert first != second
    assert order(_training(5, start=1)) == second, "the order is the epoch's, whatever the batch, and on a resume"
    assert order(_training(seed=4)) != first


def test_the_scripts_own_random_state_is_left_alone() -> None:
    training = _training()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    training._order()
    assert torch.equal(torch.rand(3), expected)


def test_lengths_are_of_micro_batches_and_of_global_ones() -> None:
    training = _training(8, per_device_max=3)
    assert (training.batches, len(training)) == (3, 3 + 3 + 2)
    assert len(list(training)) == len(training)
    loader = DataLoader(_data(), batch_size=8, drop_last=True)
    model = _model()
    short = Trial.offline({}).distributed(model, torch.optim.SGD(model.parameters(), lr=0.1), loader)
    assert (short.batches, len(short), len(list(short))) == (2, 2, 2)


def test_the_gradient_that_is_clipped_is_the_whole_batchs() -> None:
    training = _training(20, per_device_max=6)
    before = [each.detach().clone() for each in training.model.parameters()]
    for batch in training:
        training.backward(_loss(training, batch))
        training.step(max_norm=1e-3)
    moved = torch.cat([(a - b).flatten() for a, b in zip(before, training.model.parameters(), strict=True)])
    assert float(moved.detach().norm()) == pytest.approx(0.05 * 1e-3, rel=1e-3)


def test_a_smaller_batch_takes_sgds_rate_along_and_both_are_recorded() -> None:
    model, trial = _model(), Trial.offline({})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.4)
    trial.distributed(model, optimizer, DataLoader(_data(), batch_size=8), per_device_max=2, most_steps=1)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1)
    assert trial.recorded == {
        "batch_plan": "2 = 1 step of 2",
        "micro_batch": 2,
        "accumulation_steps": 1,
        "learning_rate": pytest.approx(0.1),
        "learning_rate_asked": 0.4,
        "learning_rate_rule": "linear",
        "global_batch": 2,
        "global_batch_asked": 8,
    }


def test_adam_follows_by_the_square_root_and_a_loaded_state_does_not_follow_twice() -> None:
    model = _model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.4)
    _training(8, model=model, optimizer=optimizer, per_device_max=2, most_steps=1)
    changed = {name: optimizer.param_groups[0][name] for name in ("lr", "betas", "eps")}
    assert changed == {"lr": pytest.approx(0.2), "betas": pytest.approx((0.975, 0.99975)), "eps": pytest.approx(2e-8)}
    resumed = torch.optim.AdamW(model.parameters(), lr=0.4)
    resumed.load_state_dict(optimizer.state_dict())
    _training(8, model=model, optimizer=resumed, per_device_max=2, most_steps=2)
    assert resumed.param_groups[0]["lr"] == pytest.approx(0.4 * (4 / 8) ** 0.5)
    again = torch.optim.AdamW(model.parameters(), lr=0.4)
    again.load_state_dict(resumed.state_dict())
    _training(8, model=model, optimizer=again)
    back = {name: again.param_groups[0][name] for name in ("lr", "betas", "eps")}
    assert back == {"lr": pytest.approx(0.4), "betas": pytest.approx((0.9, 0.999)), "eps": pytest.approx(1e-8)}


def test_an_optimizer_without_a_rule_needs_one_by_name() -> None:
    model = _model()
    optimizer = torch.optim.Rprop(model.parameters(), lr=0.4)
    with pytest.raises(ValueError, match=r"no rule is known for the learning rate of Rprop: say rule="):
        _training(8, model=model, optimizer=optimizer, per_device_max=2, most_steps=1)
    _training(8, model=model, optimizer=optimizer, per_device_max=2, most_steps=1, rule="square root")
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.2)


def test_batch_norm_is_warned_of_where_it_sees_less_than_the_batch() -> None:
    with pytest.warns(UserWarning, match=r"^1 is a BatchNorm: it sees micro-batches of 4, not the global batch of 8"):
        _training(8, model=_model(torch.nn.BatchNorm1d(3)), per_device_max=4)
    with warnings.catch_warnings(record=True) as caught:
        _training(8, model=_model(torch.nn.BatchNorm1d(3)))
        _training(8, model=_model(torch.nn.LayerNorm(3)), per_device_max=4)
    assert caught == []


def test_what_cannot_be_dealt_out_is_refused_with_what_to_do() -> None:
    model, trial = _model(), Trial.offline({})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sampler = SequentialSampler(_data())
    for loader, says in (
        ([1, 2], "needs a torch DataLoader"),
        (DataLoader(_data(), batch_sampler=BatchSampler(sampler, 4, drop_last=False)), "give the loader batch_size="),
        (DataLoader(_data(), batch_size=None), "give the loader batch_size="),
        (
            DataLoader(_data(), batch_size=4, sampler=torch.utils.data.DistributedSampler(_data(), 2, 0)),
            "give the loader no DistributedSampler",
        ),
    ):
        with pytest.raises(TypeError, match=says):
            trial.distributed(model, optimizer, loader)


def test_steps_outside_of_the_loop_are_errors() -> None:
    training = _training()
    with pytest.raises(RuntimeError, match=r"training\.step outside of"):
        training.step()
    with pytest.raises(RuntimeError, match="no global batch is whole yet"):
        training.loss  # noqa: B018
